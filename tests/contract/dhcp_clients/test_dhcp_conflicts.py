"""Addresses that somebody uses without a lease, interfaces that are made anew, a clock that is set: on a real
wire, with a real client."""

from __future__ import annotations

import json
import sys
import time

from dhcp_wire import NETNS, ROOT, Wire, eventually, need, run, wire

__all__ = ["wire"]  # the fixture
pytestmark = NETNS
ONCE = ("-f", "-q", "-n", "-t", "5", "-T", "2", "-i", "eth0", "-s", "/bin/true")


def squat(wire: Wire, *addresses: str) -> None:
    """Another machine on the same bridge, with addresses nobody gave it."""
    name = f"{wire.client}q"
    run("ip", "netns", "add", name)
    wire.stack.callback(run, "ip", "netns", "delete", name, check=False)
    run(
        "ip", "-n", wire.server, "link", "add", "port2", "type", "veth", "peer", "name", "eth0", "netns", name
    )
    run("ip", "-n", wire.server, "link", "set", "port2", "master", "br0", "up")
    run("ip", "-n", name, "link", "set", "eth0", "address", "52:54:00:bb:00:01", "up")
    for address in addresses:
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    eventually(lambda: "LOWER_UP" in run("ip", "-n", name, "link", "show", "eth0"))


class TestConflict:
    def test_used_addresses_are_passed_over_and_rest(self, wire: Wire) -> None:
        wire.serve()
        squat(wire, "10.93.0.100", "10.93.0.101")
        wire.on_client(need("udhcpc"), *ONCE)
        assert wire.leases("bound") == ["10.93.0.102"]
        assert sorted(wire.leases("declined")) == ["10.93.0.100", "10.93.0.101"]
        events = wire.events("dhcp.conflict")
        assert [event["data"]["by"] for event in events] == ["52:54:00:bb:00:01"] * 2
        assert "10.93.0.100 is used by 52:54:00:bb:00:01" in events[0]["text"]

    def test_a_reservation_is_not_looked_for(self, wire: Wire) -> None:
        wire.serve("52:54:00:aa:00:01=10.93.0.42")
        squat(wire, "10.93.0.42")
        wire.on_client(need("udhcpc"), *ONCE)
        assert wire.leases("bound") == ["10.93.0.42"] and not wire.events("dhcp.conflict")

    def test_behind_a_relay_by_echo(self, wire: Wire) -> None:
        """The relay's network is another one; its squatter is asked by ICMP."""
        run("ip", "-n", wire.client, "address", "add", "10.93.0.2/24", "dev", "eth0")
        run("ip", "-n", wire.client, "address", "add", "10.94.0.1/32", "dev", "lo")
        run("ip", "-n", wire.client, "address", "add", "10.94.0.100/32", "dev", "lo")
        run("ip", "-n", wire.server, "route", "add", "10.94.0.0/24", "via", "10.93.0.2")
        wire.serve(cidr="10.94.0.0/24", pools=["10.94.0.100-10.94.0.110"], routers=["10.94.0.1"])
        output = wire.on_client(
            "env", f"PYTHONPATH={ROOT}:{ROOT / 'tests/unit/pxe/dhcp'}", sys.executable, "-c", RELAY
        )
        assert output.strip() == "10.94.0.101"
        assert [event["data"]["address"] for event in wire.events("dhcp.conflict")] == ["10.94.0.100"]

    def test_a_client_that_finds_it_in_use_declines_and_gets_another(self, wire: Wire) -> None:
        """We do not look, it does: udhcpc asks by ARP before it takes an address."""
        wire.serve(config={"check_seconds": 0})
        squat(wire, "10.93.0.100")
        output = wire.on_client(need("udhcpc"), "-a", "-f", "-q", "-n", "-t", "5", "-T", "2", "-i", "eth0",
                                "-s", "/bin/true")  # fmt: skip
        assert "lease of 10.93.0.101 obtained" in output
        assert wire.leases("declined") == ["10.93.0.100"] and wire.events("dhcp.decline")
        run("ip", "-n", f"{wire.client}q", "link", "set", "eth0", "down")  # it rests although its user left
        wire.on_client(need("udhcpc"), *ONCE, "-x", "0x3d:0102")
        assert wire.leases("bound")[-1] == "10.93.0.102"

    def test_a_wait_slows_nobody_and_is_not_repeated(self, wire: Wire) -> None:
        wire.serve()
        path = f"PYTHONPATH={ROOT}:{ROOT / 'tests/unit/pxe/dhcp'}"
        run("ip", "-n", wire.client, "address", "add", "10.93.0.2/24", "dev", "eth0")
        first, all_ten, again = json.loads(wire.on_client("env", path, sys.executable, "-c", TIMES))
        assert first > 0.25  # it was looked for
        assert all_ten < 9 * 0.3  # nine more at once: all in one wait, not in nine
        assert again < 0.3  # known from the first time


# A relay in the client's namespace: asks once, prints what is offered.
RELAY = """
import socket
from ipaddress import IPv4Address
from dhcp_house import discover
from pxe.dhcp import wire
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 67)); sock.settimeout(5)
sock.sendto(wire.build(discover(giaddr=IPv4Address("10.94.0.1"), hops=1)), ("10.93.0.1", 67))
print(wire.parse(sock.recv(2000)).yiaddr)
"""
# Seconds until an offer: one client; nine others at once; the first one again.
TIMES = """
import json, socket, time
from ipaddress import IPv4Address
from dhcp_house import discover
from pxe.dhcp import wire
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 68)); sock.settimeout(5)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
def ask(*macs):
    began = time.monotonic()
    for mac in macs:
        sock.sendto(wire.build(discover(mac, flags=wire.BROADCAST)), ("255.255.255.255", 67))
    got = {wire.parse(sock.recv(2000)).chaddr for _ in macs}
    assert len(got) == len(macs)
    return time.monotonic() - began
one = "52:54:00:00:00:01"
many = [f"52:54:00:00:01:{n:02x}" for n in range(9)]
print(json.dumps([ask(one), ask(*many), ask(one)]))
"""


def test_an_interface_made_anew_is_served_again(wire: Wire) -> None:
    wire.serve()
    udhcpc = need("udhcpc")
    wire.on_client(udhcpc, *ONCE)
    run("ip", "-n", wire.server, "link", "delete", "br0")
    time.sleep(0.2)
    run("ip", "-n", wire.server, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", wire.server, "link", "set", "port", "master", "br0")
    run("ip", "-n", wire.server, "address", "add", "10.93.0.1/24", "dev", "br0")
    run("ip", "-n", wire.server, "link", "set", "br0", "up")

    def served() -> bool:
        return "lease of 10.93.0.100 obtained" in wire.on_client(udhcpc, *ONCE, check=False)

    eventually(served, 30)
    assert set(wire.leases("bound")) == {"10.93.0.100"}
