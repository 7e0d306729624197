"""Roots over the network from images that are shaped as other distributions' are: where the kernel lies, how
its modules are packed, which network software the system has. Made of Debian's own packages.

    fedora    the kernel at /usr/lib/modules/VERSION/vmlinuz alone, no initramfs, .ko.xz, NetworkManager
    ubuntu    modules as .ko.zst, netplan over systemd-networkd with the file that cloud-init leaves
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from diskless_farm import Farm
from kept import keep

from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store
from bootsrv.model import NodeState

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(1500)]
APT = "apt-get -qq -o Acquire::Check-Valid-Until=false"  # a mirror may be behind
NETPLAN = "{network: {version: 2, ethernets: {ens3: {dhcp4: true}}}}"  # of the machine it was made on
SHAPES = {
    "fedora": f"""
        {APT} update && {APT} -y --no-install-recommends install network-manager xz-utils
        systemctl disable systemd-networkd.service systemd-networkd-wait-online.service
        systemctl enable NetworkManager.service
        cd /usr/lib/modules/*
        cp /boot/vmlinuz-* vmlinuz
        rm -f /boot/* /vmlinuz* /initrd*
        find . -name '*.ko' -print0 | xargs -0 -P 2 -n 50 xz -0 --check=crc32
        depmod "$(basename "$PWD")"
    """,
    "ubuntu": f"""
        {APT} update && {APT} -y --no-install-recommends install netplan.io zstd
        cd /usr/lib/modules/*
        find . -name '*.ko' -print0 | xargs -0 -P 2 -n 50 zstd -q -1 --rm
        depmod "$(basename "$PWD")"
        echo '{NETPLAN}' >/etc/netplan/50-cloud-init.yaml
        chmod 600 /etc/netplan/*
    """,
}
ASKED = {
    "fedora": ("nmcli -t -f STATE general", "connected"),
    "ubuntu": ("netplan get network.renderer; networkctl is-online 2>/dev/null; ls /etc/netplan", ".yaml"),
}


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Lab() as lab:
        plant(seeded_store({"debian": "debian-12-vm"}, print), lab.service.data)
        try:
            lab.service.start()
            yield Farm(lab)
        finally:
            keep(lab, "shapes-")


@pytest.mark.parametrize(("shape", "root"), [("fedora", "nfs"), ("ubuntu", "nbd")])
def test_it_boots_unchanged(farm: Farm, shape: str, root: str) -> None:
    farm.lab.service.outside("image", "edit", "debian@1", "--", "sh", "-ec", SHAPES[shape])
    image = f"debian@{farm.verbs.images.resolve('debian').number}"
    guest = farm.add(Firmware.UEFI, root, image=image)
    since = farm.now()
    guest.machine.on()
    farm.home(guest, since)
    node = farm.node(guest)
    assert node.state is NodeState.RUNNING and node.running == image
    assert farm.ask(guest, "hostname -f") == f"{guest.name}.cluster.test"
    assert farm.ask(guest, "findmnt -no FSTYPE /") == "overlay"
    command, expected = ASKED[shape]
    assert expected in farm.ask(guest, command)
    # A module of the running system's own, packed as it is there.
    packed = farm.ask(guest, "modprobe dummy && modinfo -n dummy")
    assert packed.endswith({"fedora": ".ko.xz", "ubuntu": ".ko.zst"}[shape])
    assert farm.ask(guest, "systemctl --failed --no-legend") == ""
    guest.machine.cut()
