"""Machines behind somebody else's relay (dnsmasq): a lease through it, a renewal straight through the router,
a release; and nothing for those behind a relay that we do not know."""

from __future__ import annotations

import signal

from dhcp_wire import NETNS, Wire, eventually, need, run, wire

__all__ = ["wire"]  # the fixture
pytestmark = NETNS


def behind(wire: Wire, number: int) -> str:
    """A network 10.(94+number).0.0/24 with a machine, behind a router that relays; the machine's space."""
    relay, far = wire.space(f"r{number}"), wire.space(f"f{number}")
    lan = f"10.{94 + number}.0"
    port = f"up{number}"
    run("ip", "-n", wire.server, "link", "add", port, "type", "veth", "peer", "name", "wan", "netns", relay)
    run("ip", "-n", wire.server, "link", "set", port, "master", "br0", "up")
    run("ip", "-n", relay, "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", far)
    run("ip", "-n", relay, "address", "add", f"10.93.0.{20 + number}/24", "dev", "wan")
    run("ip", "-n", relay, "address", "add", f"{lan}.1/24", "dev", "lan")
    run("ip", "-n", far, "link", "set", "eth0", "address", f"52:54:00:aa:01:0{number}")
    for space, card in ((relay, "wan"), (relay, "lan"), (far, "eth0")):
        run("ip", "-n", space, "link", "set", card, "up")
    eventually(lambda: "LOWER_UP" in run("ip", "-n", far, "link", "show", "eth0"))
    run("ip", "netns", "exec", relay, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "-n", wire.server, "route", "add", f"{lan}.0/24", "via", f"10.93.0.{20 + number}")
    wire.inside(
        relay, need("dnsmasq"), "-k", "--user=root", "--conf-file=/dev/null", "--port=0", "--log-facility=-",
        f"--pid-file={wire.tmp}/relay{number}.pid", f"--dhcp-relay={lan}.1,10.93.0.1",
    )  # fmt: skip
    eventually(lambda: ":67 " in run("ip", "netns", "exec", relay, "ss", "-Hlnu"))
    return far


def script(wire: Wire, number: int) -> str:
    file = wire.tmp / f"far{number}.sh"
    file.write_text(
        f'#!/bin/sh\necho "$1 $ip $router $serverid" >> {wire.tmp}/far{number}\n'
        'if [ "$1" = bound ]; then ip addr add $ip/24 dev $interface; '
        "ip route add default via $router; fi\nexit 0\n"
    )
    file.chmod(0o755)
    return str(file)


def test_a_lease_a_renewal_and_a_release(wire: Wire) -> None:
    wire.serve(cidr="10.94.0.0/24", pools=["10.94.0.100-10.94.0.110"], routers=["10.94.0.1"])
    far, said = behind(wire, 0), wire.tmp / "far0"
    process = wire.inside(far, need("udhcpc"), "-f", "-R", "-i", "eth0", "-s", script(wire, 0))
    eventually(lambda: said.exists() and "bound" in said.read_text())
    assert "bound 10.94.0.100 10.94.0.1 10.93.0.1" in said.read_text()
    before = len(wire.leases("bound"))
    process.send_signal(signal.SIGUSR1)  # renew now: by unicast, from an address behind the router
    eventually(lambda: "renew" in said.read_text())
    assert len(wire.leases("bound")) > before and set(wire.leases("bound")) == {"10.94.0.100"}
    process.send_signal(signal.SIGUSR2)
    assert eventually(lambda: wire.leases("released")) == ["10.94.0.100"]


def test_who_is_behind_an_unknown_relay_is_left_alone(wire: Wire) -> None:
    wire.serve()
    far = behind(wire, 1)
    once = ("-f", "-q", "-n", "-t", "3", "-T", "1", "-i", "eth0", "-s", "/bin/true")
    assert "obtained" not in run("ip", "netns", "exec", far, need("udhcpc"), *once, check=False)
    (told,) = wire.rows()  # three questions, told once
    assert told["event"] == "dhcp.relay" and "the relay at 10.95.0.1" in told["text"]
