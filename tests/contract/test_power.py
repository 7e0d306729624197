"""Power by real controllers' software: OpenIPMI's simulator, and the Redfish emulator of OpenStack."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.appliance.powers import Powers
from bootsrv.cli.main import cli
from bootsrv.config import load
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.model import Node
from bootsrv.power.bare import magic_packet
from bootsrv.power.door import parse

SECRET = "s3cret-word"
CHASSIS = """#!/bin/sh
here=$(dirname "$0")
echo "$2 $3 $4" >>"$here/calls"
case "$2 $3" in
"get power") echo "power:$(cat "$here/power")" ;;
"set power") echo "$4" >"$here/power" ;;
"get boot") echo "boot:default" ;;
esac
"""
LAN = """name "vm"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{home}/chassis 0x20"
  user 1 true "" "x" user 10 none md2 md5 straight
  user 2 true "admin" "{secret}" admin 10 none md2 md5 straight
"""
EMULATION = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""


class House:
    """An appliance with one node, and the command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        text = f'data_dir = "{home}/data"\n[[subnets]]\ncidr = "127.0.0.0/8"\nmode = "authoritative"\n'
        (home / "b.toml").write_text(text)
        (home / "password").write_text(SECRET + "\n")
        self.appliance = Appliance.open(load(home / "b.toml"))
        self.node: Node = self.appliance.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"]))

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(cli, ["--config", str(self.home / "b.toml"), "power", "n1", *words])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    def via(self, door: str) -> str:
        return self.run("via", door, "--password-file", str(self.home / "password"))

    def status(self) -> str:
        said: str = json.loads(self.run("status", "--json"))["done"]["n1"]
        return said

    def patient(self, naps: list[float]) -> Powers:
        """The verbs, with a clock that does not wait."""
        made = self.appliance
        return Powers(made.config, made.registry, made.pushes.remote, time.time, naps.append)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "house").mkdir()
    made = House(tmp_path / "house")
    yield made
    made.appliance.close()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], home: Path, **environment: str) -> Iterator[None]:
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment or None
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def ipmi(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and folder of a simulated controller; the folder's file `power` is the machine."""
    home = tmp_path / "ipmi"
    (home / "state").mkdir(parents=True)
    port = free_port(socket.SOCK_DGRAM)
    (home / "chassis").write_text(CHASSIS)
    (home / "chassis").chmod(0o755)
    (home / "power").write_text("0")
    (home / "lan").write_text(LAN.format(port=port, home=home, secret=SECRET))
    (home / "emulation").write_text(EMULATION)
    tool = shutil.which("ipmi_sim") or "/usr/bin/ipmi_sim"
    with running([tool, "-n", "-d", "-c", "lan", "-f", "emulation", "-s", "state"], home):
        end = time.monotonic() + 20
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():
            assert time.monotonic() < end, (home / "log").read_text()
            time.sleep(0.05)
        yield port, home


def test_ipmi(house: House, ipmi: tuple[int, Path]) -> None:
    port, home = ipmi
    door = f"ipmi://admin@127.0.0.1:{port}?cipher=3"
    assert house.via(door) == f"n1: {door}\n"
    assert house.status() == "off"
    assert house.run("on") == "n1: on\n" and house.status() == "on"
    assert house.run("cycle", "--network") == "n1: restarted\n"
    calls = (home / "calls").read_text().splitlines()
    assert "set boot pxe" in calls and calls.index("set boot pxe") < calls.index("set power 0")
    assert house.run("off", "--hard") == "n1: off\n" and house.status() == "off"
    assert house.run("cycle") == "n1: restarted\n" and house.status() == "on", "it was off: it is on now"
    naps: list[float] = []
    said = house.patient(naps).act(house.node, "off")  # a system that does not listen
    assert "its power was cut" in said and sum(naps) == 90 and house.status() == "off"
    assert "set shutdown 1" in (home / "calls").read_text()
    kinds = [event.kind for event in house.appliance.watch.events(node=house.node)]
    assert {"power.on", "power.off", "power.cycle"} <= set(kinds)


def test_a_wrong_password_is_not_kept(house: House, ipmi: tuple[int, Path]) -> None:
    (house.home / "password").write_text("wrong")
    with pytest.raises(BootsrvError, match="n1: ipmi://admin@"):
        house.via(f"ipmi://admin@127.0.0.1:{ipmi[0]}?cipher=3")
    assert house.appliance.powers.door(house.node) is None
    assert house.status() == "unknown"


@pytest.fixture
def certificates(tmp_path: Path) -> list[Path]:
    made = []
    for name in ("one", "two"):
        made.append(tmp_path / name)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bmc", "-days", "2",
             "-keyout", f"{made[-1]}.key", "-out", f"{made[-1]}.crt"], check=True, capture_output=True,
        )  # fmt: skip
    return made


@contextmanager
def redfish(home: Path, port: int, certificate: Path, machines: int = 1) -> Iterator[None]:
    home.mkdir(exist_ok=True)
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    (home / "users").write_text(f"admin:{hashed}\n")
    systems = [
        {"uuid": f"{n}", "name": f"vm{n}", "power_state": "Off", "nics": []} for n in range(1, machines + 1)
    ]
    settings = {
        "LISTEN_IP": "127.0.0.1", "LISTEN_PORT": port, "SSL_CERT": f"{certificate}.crt",
        "SSL_KEY": f"{certificate}.key", "AUTH_FILE": str(home / "users"), "FAKE_SYSTEMS": systems,
        "STATE_DIR": str(home),
    }  # fmt: skip
    lines = [f"SUSHY_EMULATOR_{key} = {value!r}\n" for key, value in settings.items()]
    (home / "config").write_text("".join(lines))
    tool = Path(sys.executable).with_name("sushy-emulator")
    with running([str(tool), "--config", str(home / "config"), "--fake"], home, PATH="/usr/bin:/bin"):
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, (home / "log").read_text()
                time.sleep(0.1)
        yield


def test_redfish(house: House, certificates: list[Path], tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    door = f"redfish://admin@127.0.0.1:{port}"
    with redfish(tmp_path / "redfish", port, certificates[0]):
        assert house.via(door) == f"n1: {door}\n"
        assert house.status() == "off"
        assert house.run("on", "--network") == "n1: on\n" and house.status() == "on"
        assert house.run("off") == "n1: off\n" and house.status() == "off"
        assert house.run("cycle") == "n1: restarted\n"
    secret = house.home / "data" / "keys" / "power" / f"{house.node.id}.json"
    assert secret.stat().st_mode & 0o777 == 0o600 and secret.parent.stat().st_mode & 0o777 == 0o700
    assert SECRET.encode() not in (house.home / "data" / "registry.db").read_bytes()
    with redfish(tmp_path / "redfish", port, certificates[1]):
        with pytest.raises(BootsrvError, match=r"another certificate .* bootsrv power n1 via"):
            house.run("on")
        log = (tmp_path / "redfish" / "log").read_text()
        assert "GET" not in log and "POST" not in log, "nobody was told the password"
        house.via(door)
    house.appliance.nodes.remove("n1", force=True)
    assert not secret.exists()


def test_one_of_several_machines_is_named(house: House, certificates: list[Path], tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    with redfish(tmp_path / "redfish", port, certificates[0], machines=2):
        with pytest.raises(BootsrvError, match="2 machines behind it; add the path of one: /redfish/v1/Sys"):
            house.via(f"redfish://admin@127.0.0.1:{port}")
        house.via(f"redfish://admin@127.0.0.1:{port}/redfish/v1/Systems/2")
        assert house.run("on") == "n1: on\n"
        (house.home / "password").write_text("wrong")
        with pytest.raises(BootsrvError, match="refuses this user and password"):
            house.via(f"redfish://admin@127.0.0.1:{port}")


def test_without_a_controller_it_is_woken_and_asked(house: House) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        card.bind(("127.255.255.255", 9))
        card.settimeout(5)
        assert house.run("on") == "n1: woken\n"
        assert card.recv(2000) == b"\xff" * 6 + bytes.fromhex("525400000001") * 16
    for words, why in ((["off"], "no registered address"), (["off", "--hard"], "no controller"),
                       (["cycle", "--network"], "no controller")):  # fmt: skip
        with pytest.raises((BootsrvError, Invalid), match=why):
            house.run(*words)
    assert len(magic_packet("52:54:00:00:00:01")) == 102


@pytest.mark.parametrize(
    "text, why",
    [
        ("admin@host", "begins with none of ipmi://"), ("ipmi://admin:word@host", "does not belong"),
        ("ipmi://host", "not of the form"), ("ipmi://a@host:99999", "Port out of range"),
        ("ipmi://a@-oProxy", "not of the form"), ("redfish://a@h/other", "does not belong there"),
        ("ipmi://a@h/redfish/v1/Systems/1", "does not belong there"),
        ("ipmi://a@h?x=1", "does not belong"), ("redfish://a@h/?x", "does not belong"),
    ],
)  # fmt: skip
def test_what_is_no_controller(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse(text)


@pytest.mark.parametrize(
    "text", ["ipmi://a@h?cipher=17", "ipmi://a@[::1]:700", "redfish://a@h:444/redfish/v1/Systems/x", "redfish+http://a@h"]
)
def test_a_controller_reads_back_as_itself(text: str) -> None:
    assert str(parse(text)) == text
