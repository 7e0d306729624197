"""Another DHCP server (dnsmasq) is plugged in while we are the authority: an alarm says so in time, by our
own looking and by what machines say."""

from __future__ import annotations

import sys
import time
from ipaddress import IPv4Address, IPv4Interface
from types import SimpleNamespace

from dhcp_wire import NETNS, Wire, eventually, need, run, wire

from pxe.dhcp import rivals
from pxe.dhcp.server import DhcpConfig
from pxe.dhcp.zones import Zones

__all__ = ["wire"]  # the fixture
pytestmark = NETNS


def plug_in(wire: Wire, *options: str) -> None:
    rival = wire.space("x")
    pair = ("type", "veth", "peer", "name", "eth0", "netns", rival)
    run("ip", "-n", wire.server, "link", "add", "port2", *pair)
    run("ip", "-n", wire.server, "link", "set", "port2", "master", "br0", "up")
    run("ip", "-n", rival, "address", "add", "10.93.0.66/24", "dev", "eth0")
    run("ip", "-n", rival, "link", "set", "eth0", "up")
    wire.inside(
        rival, need("dnsmasq"), "-k", "--user=root", "--conf-file=/dev/null", "--port=0", "--interface=eth0",
        "--bind-interfaces", "--dhcp-authoritative", "--log-facility=-",
        f"--dhcp-leasefile={wire.tmp}/rival.leases", f"--pid-file={wire.tmp}/rival.pid", *options,
    )  # fmt: skip
    eventually(lambda: ":67 " in run("ip", "netns", "exec", rival, "ss", "-Hlnu"))


def test_it_is_looked_for_again_and_again(wire: Wire) -> None:
    wire.serve(config={"probe_seconds": 1.0, "watch_seconds": 2.0})
    assert not wire.events("alarm.foreign")
    plug_in(wire, "--no-ping", "--dhcp-range=10.93.0.200,10.93.0.210,1h")
    began = time.monotonic()
    (alarm,) = eventually(lambda: wire.events("alarm.foreign"), 30)
    assert "a DHCP server at 10.93.0.66 answers on br0" in alarm["text"]
    time.sleep(max(0.0, began + 5 - time.monotonic()))
    assert len(wire.events("alarm.foreign")) == 1  # told once a minute, not at each look


def test_one_that_pings_before_it_offers_is_waited_for(wire: Wire) -> None:
    """As dnsmasq does for three seconds, unless it is told otherwise."""
    plug_in(wire, "--dhcp-range=10.93.0.200,10.93.0.210,1h")
    code = "import asyncio; from pxe.dhcp.probe import probe; print(asyncio.run(probe('br0')))"
    said = run("ip", "netns", "exec", wire.server, sys.executable, "-c", code)
    assert "server=IPv4Address('10.93.0.66')" in said


def test_a_machine_that_takes_its_address_tells_us_at_once(wire: Wire) -> None:
    """It answers this one machine only, so that no probe of ours would find it."""
    wire.serve(pools=[])
    one = "--dhcp-host=52:54:00:aa:00:01,10.93.0.201"
    plug_in(wire, "--no-ping", "--dhcp-range=10.93.0.0,static,1h", one)
    once = ("-f", "-q", "-n", "-t", "9", "-T", "1", "-i", "eth0", "-s", "/bin/true")
    assert "10.93.0.201 obtained" in wire.on_client(need("udhcpc"), *once)
    (alarm,) = eventually(lambda: wire.events("alarm.foreign"))
    assert "a machine on br0 took the address of a DHCP server at 10.93.0.66" in alarm["text"]


def test_our_own_other_interface_is_no_rival() -> None:
    port = SimpleNamespace(addresses=(IPv4Interface("10.93.0.2/24"),))
    told: list[str] = []
    rivals_ = rivals.Rivals([port], Zones([], ""), 1.0, lambda _kind, text: told.append(text))  # type: ignore[list-item]
    rivals_.heard_of(IPv4Address("10.93.0.2"), "br0")
    assert told == []
    rivals_.heard_of(IPv4Address("10.93.0.3"), "br0")
    assert len(told) == 1


def test_by_default_it_is_known_within_a_minute() -> None:
    """It may come up just after the last question of one look, and answer the first of the next but one."""
    config = DhcpConfig((), ())
    assert config.watch_seconds + config.probe_seconds <= rivals.LATEST
