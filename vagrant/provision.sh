#!/bin/sh
# Sets up the Vagrant server: bootsrv from the synced folder, answering on the lab's network, as a service.
set -eu

interface=$(ip -o -4 address show | awk '$4 == "10.77.0.2/24" { print $2; exit }')
[ -n "$interface" ] || {
    echo "provision: no interface has 10.77.0.2" >&2
    exit 1
}
mkdir -p /etc/bootsrv
cat >/etc/bootsrv/bootsrv.toml <<CONFIG
data_dir = "/var/lib/bootsrv"
interfaces = ["$interface"]
domain = "cluster.test"

[[subnets]]
cidr = "10.77.0.0/24"
mode = "authoritative"
pools = ["10.77.0.100-10.77.0.199"]
routers = ["10.77.0.2"]
lease_seconds = 3600

[http]
port = 8080
address = "0.0.0.0"
CONFIG
cat >/etc/systemd/system/bootsrv.service <<'UNIT'
[Unit]
Description=bootsrv
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/opt/bootsrv/.venv/bin/bootsrv serve --config /etc/bootsrv/bootsrv.toml
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
/opt/bootsrv/run setup
systemctl daemon-reload
systemctl enable --now bootsrv.service
/opt/bootsrv/.venv/bin/bootsrv image import debian --recipe debian-12-vm
journalctl -u bootsrv -o cat | grep 'first login' || true
