"""Real DHCP clients of other people get, renew and return a lease from our server.

Two network namespaces joined by a veth pair; nothing leaves them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from dhcp_wire import MAC, NETNS, ROOT, Wire, eventually, need, run, wire

__all__ = ["wire"]  # the fixture
pytestmark = NETNS


def udhcpc_script(wire: Wire) -> str:
    script = wire.tmp / "udhcpc.sh"
    script.write_text(
        "#!/bin/sh\n"
        f'env | grep -E "^(ip|subnet|router|dns|lease|hostname|mtu|search|domain|serverid)="'
        f" > {wire.tmp}/$1\n"
        '[ "$1" = bound ] || [ "$1" = renew ] && ip addr replace $ip/24 dev $interface\nexit 0\n'
    )
    script.chmod(0o755)
    return str(script)


class TestUdhcpc:
    """busybox: what most initial RAM disks use."""

    def test_lease_renew_release(self, wire: Wire) -> None:
        wire.serve()
        udhcpc = need("udhcpc")
        process = wire.start(
            udhcpc, "-f", "-R", "-i", "eth0", "-s", udhcpc_script(wire), "-O", "mtu", "-O", "search",
            "-x", "hostname:probe1",
        )  # fmt: skip
        facts = dict(line.split("=", 1) for line in self.facts(wire, "bound"))
        assert facts["ip"] == "10.93.0.100" and facts["subnet"] == "255.255.255.0"
        assert facts["router"] == "10.93.0.1" and facts["dns"] == "10.93.0.1" and facts["lease"] == "60"
        assert facts["mtu"] == "1400" and facts["search"] == "a.test b.test"
        assert facts["domain"] == "cluster.test" and facts["serverid"] == "10.93.0.1"
        process.send_signal(signal.SIGUSR1)  # renew now
        eventually(lambda: len(wire.leases("bound")) >= 2)
        assert set(wire.leases("bound")) == {"10.93.0.100"}
        process.send_signal(signal.SIGUSR2)  # release
        assert eventually(lambda: wire.leases("released")) == ["10.93.0.100"]
        process.terminate()

    def facts(self, wire: Wire, name: str) -> list[str]:
        return eventually(
            lambda: (wire.tmp / name).exists() and (wire.tmp / name).read_text().split("\n")[:-1]
        )

    def test_a_reservation(self, wire: Wire) -> None:
        wire.serve(f"{MAC}=10.93.0.42")
        udhcpc = need("udhcpc")
        wire.on_client(udhcpc, "-f", "-q", "-n", "-i", "eth0", "-s", udhcpc_script(wire), "-O", "hostname")
        facts = self.facts(wire, "bound")
        assert "ip=10.93.0.42" in facts and "hostname=reserved-one" in facts

    def test_a_restarted_server_knows_nothing_and_still_renews(self, wire: Wire) -> None:
        """As after a lost lease file: the authority takes a client at its word while the address is free."""
        first = wire.serve()
        udhcpc = need("udhcpc")
        process = wire.start(udhcpc, "-f", "-i", "eth0", "-s", udhcpc_script(wire))
        self.facts(wire, "bound")
        wire.stop(first, signal.SIGKILL)
        wire.serve()
        before = len(wire.leases("bound"))
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: len(wire.leases("bound")) > before)
        assert set(wire.leases("bound")) == {"10.93.0.100"} and not wire.events("dhcp.nak")

    def test_a_proxy_leaves_it_alone(self, wire: Wire) -> None:
        wire.serve(mode="proxy")
        udhcpc = need("udhcpc")
        output = wire.on_client(
            udhcpc, "-f", "-n", "-t", "2", "-T", "1", "-i", "eth0", "-s", udhcpc_script(wire), check=False
        )
        assert "no lease" in output
        assert wire.rows() == []


class TestDhclient:
    """ISC dhclient: Debian until 12."""

    def test_lease_renew_release(self, wire: Wire) -> None:
        dhclient = need("dhclient")
        wire.serve()
        leases, pid = wire.tmp / "dhclient.leases", wire.tmp / "dhclient.pid"
        config = wire.tmp / "dhclient.conf"
        config.write_text("request subnet-mask, routers, interface-mtu, domain-search; timeout 15;\n")
        base = (dhclient, "-lf", str(leases), "-pf", str(pid), "-cf", str(config), "-sf", "/bin/true")
        wire.on_client(*base, "-1", "-v", "eth0")
        wire.stack.callback(lambda: pid.exists() and os.kill(int(pid.read_text()), signal.SIGTERM))
        text = leases.read_text()
        assert "fixed-address 10.93.0.100;" in text and "option interface-mtu 1400;" in text
        assert 'option domain-search "a.test.", "b.test.";' in text
        # It forks into the background and writes its pid a moment later.
        eventually(lambda: pid.exists() and pid.read_text().strip())
        os.kill(int(pid.read_text()), signal.SIGTERM)
        eventually(lambda: not Path("/proc", pid.read_text().strip()).exists())
        # It comes back with what it remembers: INIT-REBOOT.
        wire.on_client(*base, "-1", "-v", "eth0")
        assert wire.leases("bound") == ["10.93.0.100"] * 2
        wire.on_client("ip", "address", "add", "10.93.0.100/24", "dev", "eth0")
        wire.on_client(*base, "-r", "-v", "eth0")
        pid.unlink(missing_ok=True)
        assert eventually(lambda: wire.leases("released")) == ["10.93.0.100"]


def dhcpcd(wire: Wire) -> tuple[str, ...]:
    """With a place of its own for its socket: else it would talk to whatever dhcpcd runs on this machine."""
    place = wire.tmp / "dhcpcd"
    place.mkdir(exist_ok=True)
    inside = 'mkdir -p /run/dhcpcd && mount --bind "$0" /run/dhcpcd && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", inside, str(place), need("dhcpcd"))


class TestDhcpcd:
    """dhcpcd: Raspberry Pi OS, Alpine, ifupdown-ng. Sends a DUID, checks by ARP, likes option 121."""

    def test_lease_and_release(self, wire: Wire) -> None:
        wire.serve(
            options={"classless-static-routes": ["10.94.0.0/16 via 10.93.0.9", "default via 10.93.0.1"]}
        )
        process = wire.start(*dhcpcd(wire), "-4", "-B", "-f", "/dev/null", "--duid", "--script", "/bin/true",
                             "-o", "classless_static_routes", "eth0")  # fmt: skip
        eventually(lambda: "10.93.0.100/24" in wire.on_client("ip", "address", "show", "eth0"), 30)
        routes = eventually(lambda: wire.on_client("ip", "route"))
        assert "10.94.0.0/16 via 10.93.0.9" in routes and "default via 10.93.0.1" in routes
        assert wire.leases("bound") == ["10.93.0.100"]
        wire.on_client(*dhcpcd(wire), "-4", "-k", "eth0", check=False)
        process.wait(15)
        assert eventually(lambda: wire.leases("released")) == ["10.93.0.100"]


class TestInform:
    """A machine that has its address asks for the rest: dhcpcd, as Windows and printers do."""

    def test_settings_and_no_lease(self, wire: Wire) -> None:
        wire.serve()
        script = wire.tmp / "inform.sh"
        script.write_text(f'#!/bin/sh\n[ "$reason" = INFORM ] && env > {wire.tmp}/inform\nexit 0\n')
        script.chmod(0o755)
        process = wire.start(*dhcpcd(wire), "-4", "-B", "-f", "/dev/null", "--script", str(script), "-o",
                             "domain_name_servers", "--inform=10.93.0.50/24", "eth0")  # fmt: skip
        said = wire.tmp / "inform"
        facts = eventually(lambda: said.exists() and said.read_text(), 30)
        assert "new_domain_name_servers=10.93.0.1" in facts and "new_dhcp_lease_time" not in facts
        assert wire.leases("bound") == [] and wire.events("dhcp.inform")
        process.terminate()


class TestBootp:
    """A client from before DHCP (RFC 951, 1534): bootpc."""

    def ask(self, wire: Wire) -> dict[str, str]:
        run("ip", "-n", wire.client, "route", "replace", "255.255.255.255", "dev", "eth0")
        output = wire.on_client(
            need("bootpc"), "--dev", "eth0", "--serverbcast", "--returniffail", "--timeoutwait", "4",
            check=False,
        )
        pairs = (line.split("=", 1) for line in output.splitlines() if "='" in line)
        return {name: value.strip("'") for name, value in pairs}

    def test_an_address_for_ever_where_the_subnet_says_so(self, wire: Wire) -> None:
        wire.serve(bootp=True)
        facts = self.ask(wire)
        assert facts["IPADDR"] == "10.93.0.100" and facts["NETMASK"] == "255.255.255.0"
        assert facts["SERVER"] == "10.93.0.1" and wire.leases("bound") == ["10.93.0.100"]
        assert self.ask(wire)["IPADDR"] == "10.93.0.100"

    def test_a_reservation_elsewhere_nothing(self, wire: Wire) -> None:
        process = wire.serve()
        assert "IPADDR" not in self.ask(wire)
        wire.stop(process)
        wire.serve(f"{MAC}=10.93.0.42")
        assert self.ask(wire)["IPADDR"] == "10.93.0.42" and wire.leases("bound") == []


class TestNetworkd:
    """systemd-networkd: servers and containers of Debian, Fedora and Arch. Sends a DUID and its own name."""

    # It waits for udev unless /sys is read-only, which says "container", and it reads no files but these.
    START = """
mkdir -p /run/systemd && mount -o remount,ro /sys && mount -t tmpfs tmpfs /run/systemd || exit 1
mkdir -p /run/systemd/network /run/systemd/netif && chown systemd-network: /run/systemd/netif
cp "$1" /run/systemd/network/10-test.network
exec "$2"
"""
    NETWORK = """
[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
Hostname=probe4
UseRoutes=yes
UseMTU=yes
"""

    def test_lease_and_release(self, wire: Wire) -> None:
        networkd = need("systemd-networkd", "/usr/lib/systemd:/lib/systemd")
        wire.serve()
        (wire.tmp / "test.network").write_text(self.NETWORK)
        process = wire.start("sh", "-c", self.START, "sh", str(wire.tmp / "test.network"), networkd)
        eventually(lambda: "10.93.0.100/24" in wire.on_client("ip", "address", "show", "eth0"), 30)
        eventually(lambda: "default via 10.93.0.1" in wire.on_client("ip", "route"))
        eventually(lambda: "mtu 1400" in wire.on_client("ip", "link", "show", "eth0"))
        assert wire.leases("bound") == ["10.93.0.100"]
        assert "probe4" in [row.get("host") for row in wire.rows()]
        process.terminate()
        process.wait(15)
        assert eventually(lambda: wire.leases("released")) == ["10.93.0.100"]


class TestProbe:
    """Our own look for other servers."""

    PROGRAM = (
        "import asyncio, sys; from pxe.dhcp.probe import probe;"
        "found = asyncio.run(probe('eth0', 1.0)); print(*[f'{f.server} {f.offered}' for f in found])"
    )

    def look(self, wire: Wire) -> str:
        environment = f"PYTHONPATH={ROOT}"
        return wire.on_client("env", environment, sys.executable, "-c", self.PROGRAM).strip()

    def test_finds_a_server_and_takes_nothing(self, wire: Wire) -> None:
        wire.serve()
        assert self.look(wire) == "10.93.0.1 10.93.0.100"
        assert wire.leases("bound") == []

    def test_a_proxy_is_no_dhcp_server(self, wire: Wire) -> None:
        wire.serve(mode="proxy")
        assert self.look(wire) == ""

    def test_silence(self, wire: Wire) -> None:
        assert self.look(wire) == ""


class TestSecondAuthority:
    """Two authorities on one wire give machines wrong addresses: the second does not start unless forced."""

    PROGRAM = """
import asyncio, sys
from dhcp_house import House
from pxe.dhcp.server import DhcpConfig, DhcpServer
from pxe.dhcp.subnet import build_subnet
from pxe.errors import ForeignServer

async def main(mode, force):
    house = House()
    subnet = build_subnet({"cidr": "10.93.0.0/24", "mode": mode})
    config = DhcpConfig(("eth0",), (subnet,), force=force == "force", probe_seconds=1.0)
    server = DhcpServer(config, house, house, house, house)
    try:
        await server.start()
    except ForeignServer as error:
        print("refused:", error)
        return
    await server.close()
    print("started")

asyncio.run(main(*sys.argv[1:]))
"""

    def begin(self, wire: Wire, mode: str, force: str = "") -> str:
        run("ip", "-n", wire.client, "address", "add", "10.93.0.2/24", "dev", "eth0")
        path = f"PYTHONPATH={ROOT}:{ROOT / 'tests/unit/pxe/dhcp'}"
        return wire.on_client("env", path, sys.executable, "-c", self.PROGRAM, mode, force)

    def test_refused_with_the_others_address(self, wire: Wire) -> None:
        wire.serve()
        output = self.begin(wire, "authoritative")
        assert "refused: a DHCP server at 10.93.0.1 answers on eth0" in output and "force" in output

    def test_forced(self, wire: Wire) -> None:
        wire.serve()
        assert self.begin(wire, "authoritative", "force").strip() == "started"

    def test_a_proxy_belongs_there(self, wire: Wire) -> None:
        wire.serve()
        assert self.begin(wire, "proxy").strip() == "started"

    def test_alone(self, wire: Wire) -> None:
        assert self.begin(wire, "authoritative").strip() == "started"
