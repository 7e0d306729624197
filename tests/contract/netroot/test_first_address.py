"""What a lease does to the card that a root comes over: with the real kernel, in a network namespace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import images.imager

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]
SCRIPT = Path(images.imager.__file__).with_name("udhcpc.script")
INSIDE = """
set -e
mount -t tmpfs none /run; touch /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf
ip link add eth0 type veth peer name other; ip link set other up; ip link set eth0 up
until ip -6 -br addr show dev eth0 | grep -q fe80; do sleep 0.05; done
interface=eth0 sh "$0" deconfig
interface=eth0 ip=10.77.0.9 mask=24 sh "$0" bound
interface=eth0 ip=10.77.0.11 mask=24 router=10.77.0.1 dns=10.77.0.1 domain=cluster.test sh "$0" bound
ip -br addr show dev eth0; ip route show default; cat /run/net.eth0 /etc/resolv.conf
"""


def test_the_card_keeps_its_link_local_address() -> None:
    """systemd-networkd takes no card for configured without one, and the kernel gives it only once."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", INSIDE, str(SCRIPT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    card, route, leased, *resolver = done.stdout.splitlines()
    assert "10.77.0.11/24" in card and "10.77.0.9" not in card and "fe80::" in card
    assert route.startswith("default via 10.77.0.1 dev eth0")
    assert leased == "10.77.0.11/24 10.77.0.1"
    assert resolver == ["search cluster.test", "nameserver 10.77.0.1"]
