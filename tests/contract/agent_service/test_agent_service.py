"""The agent service as its own process, from the zip that an image carries and with nothing but the standard
library, against the real HTTP server over TLS: orders, their work, and what it refuses.

The agent that carries the orders out is a few lines of the test: the real one would update this machine.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from imagestore import publish

from bootsrv import config as configuration
from bootsrv import listening, tls
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted as NodeWanted
from bootsrv.appliance.push import AGENT, Wanted
from bootsrv.config import Config
from bootsrv.errors import BootsrvError
from bootsrv.model import Node, NodeState
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.privilege import Identity
from bootsrv.registry.registry import Registry
from bootsrv.site import HouseSite
from images.agent import home
from images.agent.rootfs import Root
from images.agent.sealed import holder
from images.agent.service.order import Order, sealed
from images.editing.agent import program
from pxe.http.server import HttpServer

WORK = """
import base64, json, os, sys, urllib.request, ssl
task = json.loads(base64.b64decode(os.environ["BOOTSRV_TASK"]))
context = ssl.create_default_context(cadata=task["certificate"])
context.check_hostname = False
context.verify_flags |= 0x80000
ask = urllib.request.Request(task["url"] + "/store/manifests/" + task["manifest"])
ask.add_header("Authorization", "Bearer " + task["token"])
size = len(urllib.request.urlopen(ask, context=context).read())
for number in range(300):
    print(json.dumps({"step": "fetch", "done": number}))
print(json.dumps({"step": "done", "made": 1, "command": sys.argv[1], "size": size}), flush=True)
"""
LIFE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from images.agent.service.__main__ import Service, say
try:
    Service(Path(sys.argv[2])).run()
except Exception as error:
    say(repr(error))
    raise SystemExit(1)
"""


@dataclass
class House:
    """The server, one node of it, and that node's root directory."""

    config: Config
    verbs: Appliance
    node: Node
    root: Path
    zip: Path
    log: Path

    def live(self) -> subprocess.Popen[bytes]:
        """One life of the service, as systemd would start it."""
        words = [sys.executable, "-I", "-S", "-c", LIFE, str(self.zip), str(self.root)]
        with self.log.open("ab") as log:
            return subprocess.Popen(words, stdout=log, stderr=log)

    def push(self, command: str = "update") -> dict[str, Any]:
        """Raises BootsrvError."""
        if command == "drift":
            return dict(self.verbs.pushes.drift(self.node))
        wanted = Wanted("debian@1", via=AGENT)
        [step] = self.verbs.pushes.plan([self.node], wanted)
        return dict(self.verbs.pushes.push(step, wanted, lambda said: None))

    def said(self) -> str:
        return self.log.read_text()

    def asked(self) -> bool:
        return self.verbs.registry.orders.agent(self.node.id) is not None


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    file = tmp_path / "bootsrv.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[http]\nport = 1\ntls_port = {free_port()}\n')
    config = configuration.load(file)
    config.data_dir.mkdir()
    tls.prepare(config, Identity(None, drop=False))
    registry = Registry.open(config.registry_file)
    verbs = Appliance(config, registry)
    publish(verbs.images.store(), "debian", {"etc/x": b"x" * 5000})
    node = verbs.nodes.add(NodeWanted(name="n1", image="debian"), arm=False)
    node = registry.nodes.save(replace(node, state=NodeState.RUNNING, running="debian@1"))
    monkeypatch.setattr("images.agent.bundle.build", lambda server, certificate="": WORK.encode())

    token = registry.tokens.issue("home", str(node.id), time.time(), 10**6, {})
    row = listening.callback(config, "http://127.0.0.1:1", token)
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/python3").touch()
    key = verbs.images.store().public_key()
    home.renew(Root(tmp_path / "root"), home.parse_callback(row, key), "debian@1")
    (tmp_path / "agent.zip").write_bytes(program())
    made = House(config, verbs, node, tmp_path / "root", tmp_path / "agent.zip", tmp_path / "log")
    with served(config):
        yield made
    registry.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class served:
    """The real HTTP server on the port that was found free, in a thread."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __enter__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    async def _start(self) -> HttpServer:
        registry = Registry.open(self._config.registry_file)
        verbs = Appliance(self._config, registry)
        site = HouseSite(self._config, registry, verbs.images, catalogue(self._config), Peers(registry))
        journal: Any = None
        port = self._config.http.tls_port
        assert port is not None
        server = HttpServer(site, journal, None)
        await server.start([], None, [("127.0.0.1", port)], tls.context(self._config))
        return server

    def __exit__(self, *why: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def until(true: Callable[[], Any]) -> None:
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_an_order_is_there_at_once_and_carried_out(house: House) -> None:
    """Within seconds although it asks three times a minute only: it is rung."""
    life = house.live()
    until(house.asked)
    began = time.monotonic()
    report = house.push()
    assert time.monotonic() - began < 12
    size = house.verbs.images.store().manifest_path(house.verbs.images.resolve("debian@1").id).stat().st_size
    assert report == {"step": "done", "made": 1, "command": "update", "size": size}
    assert life.wait(20) == 0, house.said()
    assert (house.root / "var/lib/bootsrv/agent/taken").exists()
    assert not (house.root / "var/lib/bootsrv/agent/report").exists()
    life = house.live()  # systemd's part
    assert house.push("drift")["command"] == "drift"
    assert life.wait(20) == 0


def again(house: House, change: Callable[[int, bytes, bytes], dict[str, str]]) -> str:
    """What becomes of an order that is sealed by `change` instead."""
    life = house.live()
    until(house.asked)
    call = house.verbs.registry.orders.agent(house.node.id)
    assert call is not None
    number = house.verbs.registry.orders.new(house.node.id, call.secret, {}, time.time())
    private = house.verbs.images.store().private_key()
    house.verbs.registry.orders.seal(number, change(number, call.secret, private))
    life.wait(40)
    found = house.verbs.registry.orders.get(number)
    assert found is not None and found.state == "failed"
    return found.error


def test_what_it_does_not_obey(house: House) -> None:
    order = Order(1, "update", "0" * 64, {"ref": "x"})

    def forged(number: int, held: bytes, private: bytes) -> dict[str, str]:
        return sealed(order._replace(number=number), held, bytes(32))

    def for_another(number: int, held: bytes, private: bytes) -> dict[str, str]:
        return sealed(order._replace(number=number), holder("another machine's"), private)

    def another_agent(number: int, held: bytes, private: bytes) -> dict[str, str]:
        return sealed(order._replace(number=number), held, private)

    def old(number: int, held: bytes, private: bytes) -> dict[str, str]:
        return sealed(order, held, private)

    assert "not signed by this appliance's key" in again(house, forged)
    assert "not signed by this appliance's key" in again(house, for_another)
    taken = house.root / "var/lib/bootsrv/agent/taken"
    assert not taken.exists()
    assert "another agent than the one that the order names" in again(house, another_agent)
    last = taken.read_text()
    assert "order 1 is an old one" in again(house, old)
    assert taken.read_text() == last


def test_it_tells_nothing_to_a_server_with_another_certificate(house: House, tmp_path: Path) -> None:
    for file in tls.files(house.config):
        file.unlink()
    tls.prepare(house.config, Identity(None, drop=False))
    (house.root / "etc/bootsrv/server.crt").write_text(tls.shown(house.config))
    life = house.live()
    assert life.wait(30) == 1 and "CERTIFICATE_VERIFY_FAILED" in house.said()
    assert not house.asked()


def test_killed_at_work_it_says_so_and_a_report_outlives_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "import json, time\nprint(json.dumps({'step': 'compared'}), flush=True)\ntime.sleep(3)\n"
    monkeypatch.setattr("images.agent.bundle.build", lambda server, certificate="": slow.encode())
    life = house.live()
    until(house.asked)
    killer = threading.Thread(target=lambda: (until(lambda: ": update" in house.said()), life.kill()))
    killer.start()
    restarted: list[subprocess.Popen[bytes]] = []
    threading.Thread(target=lambda: (killer.join(), life.wait(), restarted.append(house.live()))).start()
    with pytest.raises(BootsrvError, match="started again while it worked"):
        house.push()
    restarted[0].wait(30)

    # a server that is away when the work ends hears of it from the next life
    memory = house.root / "var/lib/bootsrv/agent/report"
    number = int((memory.parent / "taken").read_text())
    memory.write_text(f'{{"number": {number}, "lines": [], "ended": {{"code": 0}}}}')
    life = house.live()
    until(lambda: not memory.exists())
    life.kill()
    life.wait()
