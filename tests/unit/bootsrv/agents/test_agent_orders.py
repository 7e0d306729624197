"""Orders on the server's side: for one node's own token, once, and only so long as somebody waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from imagestore import noise, publish

from bootsrv.agents import pace
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted as NodeWanted
from bootsrv.appliance.push import AGENT, Wanted
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.model import Node, NodeState
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from bootsrv.site import HouseSite
from images.agent.sealed import holder
from images.agent.service.order import Order, accepted
from pxe.http.ports import Denied, NodeRequest, Reply


@pytest.fixture
def secure(config: Config) -> Config:
    return msgspec.structs.replace(config, http=msgspec.structs.replace(config.http, tls_port=8443))


@pytest.fixture
def verbs(secure: Config, registry: Registry) -> Appliance:
    made = Appliance(secure, registry)
    for number in (1, 2):
        publish(made.images.store(), "debian", {"etc/x": noise(200_000, number), "etc/same": b"same"})
    return made


@pytest.fixture
def site(secure: Config, verbs: Appliance) -> HouseSite:
    return HouseSite(secure, verbs.registry, verbs.images, catalogue(secure), Peers(verbs.registry))


class Machine:
    """A running node and its own token."""

    def __init__(self, verbs: Appliance, site: HouseSite, name: str, number: int) -> None:
        node = verbs.nodes.add(
            NodeWanted(name=name, image="debian", address=f"10.77.0.{10 + number}"), arm=False
        )
        self.node: Node = verbs.registry.nodes.save(
            replace(node, state=NodeState.RUNNING, running="debian@1")
        )
        self.token = verbs.registry.tokens.issue("home", str(node.id), time.time(), 10**6, {})
        self._site, self._key = site, verbs.images.store().public_key()

    def call(self, method: str, path: str, body: object = None, **query: str) -> Reply:
        data = b"" if body is None else msgspec.json.encode(body)
        answer = self._site.node(NodeRequest(method, path, query, {}, data, "127.0.0.1", self.token))
        assert isinstance(answer, Reply)
        return answer

    def ask(self) -> Any:
        return json.loads(self.call("GET", "order").body)

    def tell(self, number: int, *lines: object, **ended: object) -> int:
        row = {"number": number, "lines": lines, **({"ended": ended} if ended else {})}
        return self.call("POST", "order", row).status

    def opened(self, answer: Mapping[str, Any], last: int = 0) -> Order:
        return accepted(answer, self.token, self._key, last)


@pytest.fixture
def one(verbs: Appliance, site: HouseSite) -> Machine:
    return Machine(verbs, site, "n1", 1)


def pushed(verbs: Appliance, node: Node, wanted: Wanted) -> tuple[threading.Thread, dict[str, Any]]:
    """A push that is under way, and what becomes of it."""
    seen: dict[str, Any] = {"heard": []}
    [step] = verbs.pushes.plan([node], wanted)

    def run() -> None:
        try:
            seen["report"] = verbs.pushes.push(step, wanted, seen["heard"].append)
        except BootsrvError as error:
            seen["error"] = str(error)
        finally:
            verbs.registry.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, seen


def until(found: Callable[[], Any]) -> Any:
    ends = time.monotonic() + 20
    while not (value := found()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return value


def asked(machine: Machine) -> Any:
    """The machine's order, as soon as there is one."""
    return until(lambda: ("signed" in (answer := machine.ask()) and answer) or None)


def test_a_push_by_the_nodes_own_agent(verbs: Appliance, one: Machine) -> None:
    assert one.ask() == {"pause": 20.0}
    thread, seen = pushed(verbs, one.node, Wanted())
    answer = asked(one)
    order = one.opened(answer)
    assert (order.number, order.command, order.task["ref"]) == (answer["number"], "update", "debian@2")
    assert not {"token", "url"} & order.task.keys() and one.token not in json.dumps(answer)
    assert one.ask() == answer, "an answer that was lost is given again"
    assert one.tell(order.number, {"step": "compared", "differ": 1}) == 200
    done = {"step": "done", "made": 1, "removed": 0, "drift": 0}
    assert one.tell(order.number, {"step": "switch"}, done, code=0) == 200
    thread.join(20)
    assert seen["report"] == done and [said["step"] for said in seen["heard"]] == ["compared", "switch"]
    assert verbs.registry.nodes.get(one.node.id).running == "debian@2"
    assert one.ask() == {"pause": 20.0} and one.tell(order.number, done, code=0) == 410
    kinds = [event.kind for event in verbs.watch.latest(node=one.node)]
    assert kinds[-2:] == ["push.started", "push.done"]


def test_nobody_else_gets_it(verbs: Appliance, site: HouseSite, one: Machine) -> None:
    other = Machine(verbs, site, "n2", 2)
    one.ask()
    thread, seen = pushed(verbs, one.node, Wanted(via=AGENT))
    until(lambda: verbs.registry.orders.of(one.node.id, holder(one.token)))
    assert other.ask() == {"pause": 20.0}
    stranger = Machine.__new__(Machine)
    stranger.__dict__.update(one.__dict__)
    for token, status in (("", 401), ("guessed", 401)):
        stranger.token = token
        for method, path in (("GET", "order"), ("POST", "order"), ("GET", "agent")):
            assert stranger.call(method, path, {}).status == status
    # a second system of the same node, with a token of its own, is not the one that asked
    stranger.token = verbs.registry.tokens.issue("home", str(one.node.id), time.time(), 10**6, {})
    assert stranger.ask() == {"pause": 20.0}
    assert other.tell(asked(one)["number"], code=0) == 410
    assert one.tell(asked(one)["number"], code=1, error="disk full") == 200
    thread.join(20)
    assert seen["error"] == "n1: disk full"
    assert verbs.watch.latest(node=one.node)[-1].kind == "push.failed"


def test_the_store_opens_for_the_order_alone(verbs: Appliance, site: HouseSite, one: Machine) -> None:
    version, base = (verbs.images.resolve(f"debian@{n}") for n in (2, 1))
    look = lambda: site.store("manifests", version.id, one.token)  # noqa: E731
    one.ask()
    assert isinstance(look(), Denied)
    thread, _ = pushed(verbs, one.node, Wanted())
    number = asked(one)["number"]
    assert isinstance(look(), Path) and isinstance(site.store("manifests", base.id, one.token), Path)
    assert isinstance(site.store("locators", base.id, one.token), Denied)
    assert isinstance(site.store("packs", "0" * 64, one.token), Denied)
    one.tell(number, {"step": "done"}, code=0)
    thread.join(20)
    assert isinstance(look(), Denied)


def test_an_agent_that_does_not_come(
    verbs: Appliance, one: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the push goes over SSH, unless only the agent will do."""
    monkeypatch.setattr(pace, "SHORTEST", 0.2)
    monkeypatch.setattr(pace, "TAKE_SECONDS", 0.1)
    monkeypatch.setattr(verbs.pushes, "_by_ssh", lambda *asked: {"step": "done", "made": 3})
    one.ask()
    thread, seen = pushed(verbs, one.node, Wanted())
    thread.join(20)
    assert seen["report"]["made"] == 3 and "now over SSH" in seen["heard"][0]["text"]
    thread, seen = pushed(verbs, one.node, Wanted("debian@1", via=AGENT))
    thread.join(20)
    assert "systemctl status bootsrv-agent" in seen["error"]
    assert "signed" not in one.ask(), "it was taken back"


def test_who_has_no_agent(verbs: Appliance, one: Machine, secure: Config) -> None:
    [step] = verbs.pushes.plan([one.node], Wanted())
    with pytest.raises(Invalid, match="`bootsrv image agent debian`"):
        verbs.pushes.push(step, Wanted(via=AGENT), lambda said: None)
    one.ask()
    plain = msgspec.structs.replace(secure, http=msgspec.structs.replace(secure.http, tls_port=None))
    with pytest.raises(Invalid, match="tls_port"):
        Appliance(plain, verbs.registry).pushes.push(step, Wanted(via=AGENT), lambda said: None)


def test_an_agent_that_falls_silent(
    verbs: Appliance, one: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SILENT_SECONDS", 0.5)
    one.ask()
    thread, seen = pushed(verbs, one.node, Wanted())
    asked(one)
    thread.join(20)
    assert "nothing heard of its agent" in seen["error"]


@pytest.mark.parametrize("body", [[], 3, {}, {"number": "1"}, {"number": 10**30}, {"number": 1, "lines": 7}])
def test_odd_words(verbs: Appliance, one: Machine, body: object) -> None:
    assert one.call("POST", "order", body).status in (400, 410)
    assert one.call("GET", "order", port="99999999").status == 200
    assert verbs.registry.orders.agent(one.node.id).port == 0


def test_an_order_whose_maker_was_killed_is_void(verbs: Appliance, site: HouseSite, one: Machine) -> None:
    one.ask()
    table, version = verbs.registry.orders, verbs.images.resolve("debian@2").id
    for age, given in ((5.0, True), (60.0, False)):
        number = table.new(one.node.id, holder(one.token), {"version": version}, time.time() - age)
        table.seal(number, {"signed": "", "signature": ""})
        assert ("signed" in one.ask()) is given and (table.get(number) is not None) is given
    number = table.new(one.node.id, holder(one.token), {"version": version}, time.time())
    table.seal(number, {"signed": ""})
    table.step(number, "taken", time.time() - 60)
    assert isinstance(site.store("manifests", version, one.token), Path)
    table.step(number, "taken", time.time() - 300)
    assert isinstance(site.store("manifests", version, one.token), Denied) and one.tell(number, code=0) == 410


def test_many_ask_seldom() -> None:
    for count in (0, 1, 1000, 10_000, 100_000):
        assert pace.pause(count) >= 20 and count / pace.pause(count) <= 50
        assert pace.alive(0.0, 1.2 * pace.pause(count), count)
        assert not pace.alive(0.0, 4 * pace.pause(count), count)


def test_who_asks_is_written_down_together(verbs: Appliance, site: HouseSite) -> None:
    machines = [Machine(verbs, site, f"n{n}", n) for n in range(1, 6)]
    for machine in machines:
        machine.ask()
    before = verbs.registry.changes()
    for machine in machines * 20:
        machine.ask()
    assert verbs.registry.changes() == before


def test_a_removed_node_takes_its_orders_along(verbs: Appliance, one: Machine) -> None:
    one.ask()
    number = verbs.registry.orders.new(one.node.id, b"x", {}, 1.0)
    verbs.registry.orders.say(number, [{"a": 1}])
    verbs.registry.nodes.remove(one.node.id)
    assert verbs.registry.orders.get(number) is None and verbs.registry.orders.said(number, 0) == []
    assert one.call("GET", "order").status == 403
    assert verbs.registry.orders.agents() == 0


def test_numbers_only_grow(verbs: Appliance, one: Machine) -> None:
    table = verbs.registry.orders
    first = table.new(one.node.id, b"x", {}, 1_700_000_000.0)
    table.remove(first)
    assert first == 1_700_000_000_000
    assert table.new(one.node.id, b"x", {}, 5.0) > first, "the clock went back"
    assert table.new(one.node.id, b"x", {}, 1_700_000_001.0) == 1_700_000_001_000
