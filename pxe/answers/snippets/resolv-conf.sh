# Name servers and search list, where nothing else manages them.
# needs: servers
# takes: search=
if [ -L /etc/resolv.conf ] || systemctl is-enabled systemd-resolved >/dev/null 2>&1; then
    mkdir -p /etc/systemd/resolved.conf.d
    printf '[Resolve]\nDNS=%s\nDomains=%s\n' "$servers" "$search" > /etc/systemd/resolved.conf.d/site.conf
else
    : > /etc/resolv.conf
    [ -z "$search" ] || echo "search $search" >> /etc/resolv.conf
    for server in $servers; do echo "nameserver $server" >> /etc/resolv.conf; done
fi
