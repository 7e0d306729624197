"""The service on a real network (a namespace of its own): who is answered, with what, and who is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootsrv.lab.namespace import Inside, Namespace

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces"),
]
MAC, UUID = "52:54:00:00:00:aa", "4c4c4544-0031-3510-8054-b4c04f4d4d32"

# Runs in a namespace of its own, on the other end of a cable: asks like firmware, like our iPXE, like a
# system.
CLIENT = """
import json, socket, struct, sys, uuid
from ipaddress import IPv4Address
from pxe.dhcp import wire, frame

def ask(stage):
    options = {53: b"\\x01", 55: bytes([1, 3, 54, 60, 66, 67])}
    if stage != "system":
        options |= {60: b"PXEClient:Arch:00007:UNDI:003016", 93: b"\\0\\x07", 97: bytes(17)}
    if stage == "uuid":
        options |= {97: bytes([0]) + uuid.UUID(UUID).bytes_le}
    if stage == "ipxe":
        options |= {77: b"iPXE", 175: bytes([19, 1, 1, 235, 3, 1, 21, 1])}
    mac = bytes.fromhex(MAC.replace(":", ""))
    packet = wire.Packet(op=1, htype=1, xid=7, flags=wire.BROADCAST, chaddr=mac, options=options)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"c1")
    sock.bind(("", 68))
    sock.settimeout(3)
    sock.sendto(wire.build(packet), ("255.255.255.255", 67))
    try:
        got = wire.parse(sock.recv(2000))
    except TimeoutError:
        return None
    return {"address": str(got.yiaddr), "next": str(got.siaddr), "file": got.file.rstrip(b"\\0").decode(),
            "67": got.options.get(67, b"").decode(), "60": got.options.get(60, b"").decode()}

print(json.dumps(ask(sys.argv[1])))
""".replace("MAC.replace", f"{MAC!r}.replace").replace("(UUID)", f"({UUID!r})")


RESOLVER = """
import sys
import dns.resolver
asked = dns.resolver.Resolver(configure=False)
asked.nameservers = ["10.77.0.1"]
found = asked.resolve_address(sys.argv[2]) if sys.argv[1] == "-x" else asked.resolve(sys.argv[1], "A")
print("\\n".join(map(str, found)))
"""


class Net:
    """A service on br0 and one machine on a cable."""

    def __init__(self, space: Namespace, home: Path, mode: str) -> None:
        self.space, self.home = space, home
        self.config = home / "bootsrv.toml"
        pools = 'pools = ["10.77.0.100-10.77.0.199"]' if mode == "authoritative" else ""
        self.config.write_text(
            f'data_dir = "{home}/data"\ninterfaces = ["br0"]\ndomain = "cluster.test"\n'
            f'[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "{mode}"\n{pools}\n'
        )
        self.log = (home / "serve.log").open("w")
        self.service: Inside = space.spawn(
            [sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(self.config)],
            self.log.fileno(),
        )
        ends = time.monotonic() + 40
        while "\nready\n" not in self.text():
            assert self.service.poll() is None, self.text()
            assert time.monotonic() < ends, self.text()
            time.sleep(0.1)

    def text(self) -> str:
        return (self.home / "serve.log").read_text()

    def bootsrv(self, *words: str) -> Any:
        done = self.space.run(
            [sys.executable, "-m", "bootsrv.cli.main", "--config", str(self.config), *words]
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout

    def machine(self, *command: str) -> str:
        """Run a command on the machine at the cable's other end."""
        done = self.space.run(["nsenter", f"--net={self.home}/machine", *command], timeout=60)
        return done.stdout if done.returncode == 0 else f"code {done.returncode} {done.stderr}"

    def name(self, *question: str) -> list[str]:
        """What our DNS says, asked from the machine."""
        return self.machine(sys.executable, "-c", RESOLVER, *question).splitlines()

    def ask(self, stage: str) -> Any:
        return json.loads(self.machine(sys.executable, "-c", CLIENT, stage))


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace() as made:
        holder = made.spawn(["unshare", "--net", "sleep", "600"], subprocess.DEVNULL)
        inside = None
        while inside is None:
            done = made.run(["pgrep", "-f", "^sleep 600"])
            inside = done.stdout.split()[0] if done.stdout.split() else None
        (tmp_path / "machine").touch()
        for command in (
            ["ip", "link", "add", "c0", "type", "veth", "peer", "name", "c1", "netns", inside],
            ["ip", "link", "set", "c0", "master", "br0", "up"],
            ["mount", "--bind", f"/proc/{inside}/ns/net", str(tmp_path / "machine")],
            ["nsenter", f"--net={tmp_path}/machine", "ip", "link", "set", "c1", "address", MAC, "up"],
            ["nsenter", f"--net={tmp_path}/machine", "ip", "link", "set", "lo", "up"],
            ["nsenter", f"--net={tmp_path}/machine", "ip", "address", "add", "10.77.0.250/24", "dev", "c1"],
            ["nsenter", f"--net={tmp_path}/machine", "ip", "route", "add", "255.255.255.255", "dev", "c1"],
        ):
            assert made.run(command).returncode == 0, command
        yield made
        holder.kill()


class TestAuthoritative:
    def test_a_machines_first_questions(self, space: Namespace, tmp_path: Path) -> None:
        net = Net(space, tmp_path, "authoritative")
        firmware = net.ask("firmware")
        assert firmware["address"].startswith("10.77.0.1")
        assert "snponly.efi" in (firmware["file"], firmware["67"])
        ipxe = net.ask("ipxe")
        url = ipxe["67"] or ipxe["file"]
        assert url == "http://10.77.0.1:8080/boot/52-54-00-00-00-aa/script.ipxe?server=10.77.0.1&arch=7"
        assert net.machine("curl", "-s", url).startswith("#!ipxe")
        other = url.replace("00-aa", "00-bb")
        refused = net.machine("curl", "-s", "-w", " %{http_code}", other)
        assert refused.endswith("\n 403") and "bootsrv.token" not in refused
        code = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url]
        assert net.space.run(code).stdout == "403"  # not even this machine itself gets another's
        loader = net.machine(
            "sh", "-c", f"curl -s tftp://10.77.0.1/snponly.efi -o {tmp_path}/got && echo done"
        )
        assert loader == "done\n"
        (tmp_path / "data/public/x.txt").write_text("public\n")
        assert net.machine("curl", "-s", "tftp://10.77.0.1/x.txt") == "public\n"
        assert net.machine("curl", "-s", "http://10.77.0.1:8080/public/x.txt") == "public\n"
        (node,) = net.bootsrv("node", "list", "--unknown", "--json")
        assert (node["macs"], node["firmware"]) == ([MAC], "uefi")
        kinds = [event["kind"] for event in net.bootsrv("events", MAC, "--json")]
        for kind in ("dhcp.discover", "dhcp.offer", "tftp.done", "http.done", "alarm.foreign"):
            assert kind in kinds, kinds
        net.bootsrv("node", "adopt", MAC, "n1", "--address", "10.77.0.11")
        assert net.ask("firmware")["address"] == "10.77.0.11"
        assert "sanboot" in net.machine("curl", "-s", url)
        assert net.name("n1.cluster.test") == ["10.77.0.11"]
        assert net.name("bootsrv.cluster.test") == ["10.77.0.1"]
        assert net.name("-x", "10.77.0.11") == ["n1.cluster.test."]
        net.service.terminate()
        assert net.service.wait(20) == 0

    def test_tftp_by_ipv6_and_what_an_armed_machine_may_write(self, space: Namespace, tmp_path: Path) -> None:
        for side in (["ip"], ["nsenter", f"--net={tmp_path}/machine", "ip"]):
            number, card = (1, "br0") if len(side) == 1 else (2, "c1")
            address = f"fd00:77::{number}/64"
            done = space.run([*side, "-6", "address", "add", address, "dev", card, "nodad"])
            assert done.returncode == 0, done.stderr
        net = Net(space, tmp_path, "authoritative")
        (tmp_path / "data/public/x.txt").write_text("public\n")
        linked = net.space.run(["ip", "-j", "-6", "address", "show", "dev", "br0", "scope", "link"]).stdout
        own = next(a["local"] for card in json.loads(linked) for a in card.get("addr_info", ()) if a)
        got = tmp_path / "got"
        for command in (
            ["curl", "-sS", "tftp://[fd00:77::1]/x.txt", "-o", str(got)],
            ["curl", "-sS", f"tftp://[{own}%25c1]/x.txt", "-o", str(got)],
            ["tftp", "-6", "-m", "binary", "fd00:77::1", "-c", "get", "x.txt", str(got)],
            ["busybox", "tftp", "-g", "-r", "x.txt", "-l", str(got), "fd00:77::1"],
        ):
            got.unlink(missing_ok=True)
            assert net.machine(*command) == "" and got.read_text() == "public\n", command
        net.bootsrv("node", "add", "n1", "--mac", MAC, "--address", "10.77.0.250")
        mine = tmp_path / "mine"
        mine.write_text("what went wrong\n")
        put = ["curl", "-sS", "-T", str(mine), "tftp://10.77.0.1/console.log"]
        assert net.machine(*put).startswith("code 69 ")  # curl's number for a TFTP access violation
        net.bootsrv("image", "capture", "n1", "--name", "golden", "--offline")
        assert net.machine(*put) == ""
        assert net.machine(*put[:3], str(mine), "tftp://10.77.0.1/x.txt").startswith("code 69 ")
        ends = time.monotonic() + 20
        while net.bootsrv("log", "n1") != "what went wrong\n":
            assert time.monotonic() < ends
            time.sleep(0.1)

    def test_a_node_known_by_its_uuid_alone(self, space: Namespace, tmp_path: Path) -> None:
        net = Net(space, tmp_path, "authoritative")
        net.bootsrv("node", "add", "n7", "--address", "10.77.0.17", "--identity", f"uuid={UUID}")
        assert net.ask("uuid")["address"] == "10.77.0.17"
        ends = time.monotonic() + 20
        while net.bootsrv("node", "show", "n7", "--json")["macs"] != [MAC]:
            assert time.monotonic() < ends
            time.sleep(0.1)
        url = f"http://10.77.0.1:8080/boot/{MAC.replace(':', '-')}/script.ipxe?server=10.77.0.1"
        assert "n7: registered" in net.machine("curl", "-s", url)
        assert net.bootsrv("node", "list", "--unknown", "--json") == []

    def test_a_client_that_names_itself_is_found_by_that_name(self, space: Namespace, tmp_path: Path) -> None:
        net = Net(space, tmp_path, "authoritative")
        said = net.machine("udhcpc", "-i", "c1", "-n", "-q", "-f", "-s", "/bin/true", "-F", "My_Laptop.home")
        assert not said.startswith("code"), said
        ends = time.monotonic() + 20
        while not (found := net.name("my-laptop.cluster.test")):
            assert time.monotonic() < ends
            time.sleep(0.1)
        (lease,) = net.bootsrv("lease", "list", "--json")
        assert (found, lease["hostname"]) == ([lease["address"]], "my-laptop")
        assert net.name("-x", lease["address"]) == ["my-laptop.cluster.test."]

    def test_it_listens_nowhere_else(self, space: Namespace, tmp_path: Path) -> None:
        space.run(["ip", "link", "add", "other", "type", "dummy"])
        space.run(["ip", "address", "add", "192.0.2.1/24", "dev", "other"])
        space.run(["ip", "link", "set", "other", "up"])
        Net(space, tmp_path, "authoritative")
        listening = space.run(["ss", "-Hlnu"]).stdout + space.run(["ss", "-Hlnt"]).stdout
        places = {line.split()[3] for line in listening.splitlines() if line.split()}
        ours = {place for place in places if place.rpartition(":")[2] in ("53", "67", "69", "4011", "8080")}
        assert ours
        assert all("%br0:" in place or place.startswith(("127.0.0.1:", "10.77.0.1:")) for place in ours), ours


class TestProxy:
    def test_disturbs_nothing(self, space: Namespace, tmp_path: Path) -> None:
        net = Net(space, tmp_path, "proxy")
        assert net.ask("system") is None
        firmware = net.ask("firmware")
        assert (firmware["address"], firmware["60"]) == ("0.0.0.0", "PXEClient")
        assert "snponly.efi" in (firmware["file"], firmware["67"])


class TestRival:
    def test_two_authorities_are_refused(self, space: Namespace, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        net = Net(space, tmp_path, "authoritative")
        config = tmp_path / "one/other.toml"
        config.write_text(
            f'data_dir = "{tmp_path}/one/data"\ninterfaces = ["c1"]\n[http]\nport = 8081\n'
            '[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "authoritative"\npools = ["10.77.0.50-10.77.0.60"]\n'
        )
        said = net.machine(sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(config))
        assert said.startswith("code 1"), said
        assert "a DHCP server at 10.77.0.1 answers on c1" in said
        doctor = net.machine(sys.executable, "-m", "bootsrv.cli.main", "--config", str(config), "doctor")
        assert "a DHCP server at 10.77.0.1 answers on c1" in doctor or "code 1" in doctor


class TestDoctor:
    def test_what_keeps_machines_from_booting_is_code_1(self, tmp_path: Path) -> None:
        """From a cable that is not even up to a server that can serve; each step as doctor says."""
        for name in ("loaders/x.efi", "imager/vmlinuz", "imager/initrd.img"):
            (tmp_path / "payloads" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "payloads" / name).touch()
        config = tmp_path / "bootsrv.toml"
        config.write_text(
            f'data_dir = "{tmp_path}/data"\npayload_dir = "{tmp_path}/payloads"\ninterfaces = ["d0"]\n'
            '[[subnets]]\ncidr = "10.99.0.0/24"\nmode = "authoritative"\npools = ["10.99.0.9-10.99.0.50"]\n'
        )
        with Namespace() as space:

            def doctor() -> tuple[int, list[str]]:
                command = [sys.executable, "-m", "bootsrv.cli.main", "--config", str(config), "doctor"]
                done = space.run([*command, "--json"], timeout=60)
                found = [f for f in json.loads(done.stdout) if "d0" in f["what"] or f["level"] == "error"]
                return done.returncode, [f"{f['what']}: {f['do']}" for f in found]

            up, give = "ip link set d0 up", "ip address add ADDRESS/PREFIX dev d0"
            space.run(["ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"])
            assert doctor() == (1, [f"interface d0 is down and has no IPv4 address: {up} && {give}"])
            space.run(["ip", "address", "add", "10.99.0.1/24", "dev", "d0"])
            assert doctor() == (1, [f"interface d0 is down: {up}"])
            space.run(["ip", "address", "flush", "dev", "d0"])
            space.run(up.split())
            assert doctor() == (1, [f"interface d0 has no IPv4 address: {give}"])
            space.run(give.replace("ADDRESS/PREFIX", "10.99.0.1/24").split())
            assert doctor() == (0, [])
            (tmp_path / "payloads/imager/vmlinuz").unlink()
            code, found = doctor()
            assert code == 1 and "no imager" in found[0]
