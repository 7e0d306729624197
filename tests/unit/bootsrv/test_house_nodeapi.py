"""The node API: a machine's way from its first script to its call home, and what strangers send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from bootsrv import nodeapi, tasks
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.model import NodeState
from bootsrv.nodeapi import MAX_EVENTS, MAX_LOG
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.site import HouseSite
from pxe.dhcp.subnet import build_subnet
from pxe.http.ports import Denied, NodeRequest, Reply, Wait
from pxe.http.resolver import Script
from pxe.http.resolver import route as route_of

MAC, PEER = "52:54:00:00:00:01", "10.77.0.100"


@pytest.fixture
def site(house: Appliance, config: Config, clock: Any) -> HouseSite:
    for name in ("imager/vmlinuz", "loaders/undionly.kpxe"):
        path = config.payload_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    config.run_dir.mkdir()
    (config.run_dir / "initrd.img").write_bytes(b"y")
    return a_site(house, config, clock)


def a_site(house: Appliance, config: Config, clock: Any) -> HouseSite:
    """A site whose kernel has just spoken to the machine at PEER."""
    arp = config.data_dir / "arp"
    arp.write_text(f"IP address HW type Flags HW address Mask Device\n{PEER} 0x1 0x2 {MAC} * br0\n")
    peers = Peers(house.registry, arp, clock)
    return HouseSite(config, house.registry, house.nodes._images, catalogue(config), peers, clock)


def fetch(site: HouseSite, query: Mapping[str, str], local: str = "") -> str:
    text = site.boot_script(MAC, query, PEER, local)
    assert isinstance(text, str)
    return text


def script(site: HouseSite) -> str:
    return fetch(site, {"server": "10.77.0.1", "arch": "7"})


def word(text: str, name: str) -> str:
    found = re.search(rf"bootsrv\.{name}=(\S+)", text)
    assert found, text
    return found[1]


class Machine:
    """Says what an imager says."""

    def __init__(self, site: HouseSite, token: str | None) -> None:
        self._site, self.token = site, token

    def call(
        self, method: str, path: str, body: object = None, waited: float = 0.0, raw: bytes | None = None
    ) -> Any:
        path, _, query = path.partition("?")
        data = raw if raw is not None else (msgspec.json.encode(body) if body is not None else b"")
        pairs = dict(part.split("=", 1) for part in query.split("&") if part)
        return self._site.node(
            NodeRequest(
                method,
                path,
                pairs,
                {"content-type": "application/json"},
                data,
                PEER,
                self.token,
                waited,
            )
        )

    def task(self, waited: float = 0.0) -> Any:
        answer = self.call("GET", "task?wait=25", waited=waited)
        return msgspec.json.decode(answer.body) if isinstance(answer, Reply) and answer.body else answer

    def say(self, kind: str, **data: Any) -> Reply:
        answer = self.call("POST", "events", [{"kind": kind, "text": kind, "data": data}])
        assert isinstance(answer, Reply)
        return answer


def boot(site: HouseSite) -> Machine:
    return Machine(site, word(script(site), "token"))


class TestWholeWay:
    def test_from_unknown_to_running(self, site: HouseSite, house: Appliance) -> None:
        text = script(site)
        assert "kernel http://10.77.0.1:8080/boot/imager/vmlinuz" in text
        assert "initrd=initrd.img" in text
        assert word(text, "purpose") == "discover"
        machine = Machine(site, word(text, "token"))
        assert house.nodes.unknown()[0].firmware == "uefi"
        assert machine.call("POST", "facts", {"firmware": "bios", "memory": 1}).status == 200
        assert house.nodes.unknown()[0].facts["memory"] == 1

        assert machine.task()["kind"] == "wait"
        assert isinstance(machine.task(), Wait)
        assert machine.task(waited=25.0).status == 204

        house.nodes.adopt(MAC, Wanted(name="n1", address="10.77.0.11", image="debian@1"))
        task = machine.task(waited=3.0)
        assert task["kind"] == "deploy"
        assert task["image"]["manifest"] == "1" * 64
        assert task["node"]["name"] == "n1"
        assert task["node"]["address"] == "10.77.0.11/24"
        assert task["node"]["gateway"] == "10.77.0.1"
        assert task["node"]["kernel_args"] == "quiet"
        assert task["node"]["hosts"][0] == ["10.77.0.11", "n1.cluster.test", "n1"]
        assert task["layout"]["partitions"]

        machine.say("deploy.started", id=task["id"])
        assert house.nodes.show("n1").state is NodeState.IMAGING
        machine.say("deploy.progress", done=1, total=2, rate=1.0)
        machine.say("deploy.done", id=task["id"])
        assert house.nodes.show("n1").state is NodeState.INSTALLED
        assert "sanboot" in script(site)

        system = Machine(site, task["callback"]["token"])
        assert system.call("POST", "home", {"hostname": "n1", "image": "debian@1"}).status == 200
        node = house.nodes.show("n1")
        assert (node.state, node.running) == (NodeState.RUNNING, "debian@1")
        (flight,) = house.watch.boots(node)
        assert flight.outcome == "home"

    def test_a_power_cut_gets_the_same_task_again(self, site: HouseSite, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        first = boot(site).task()
        boot(site).say("deploy.started", id=first["id"])
        again = boot(site).task()
        assert (again["kind"], again["id"]) == ("deploy", first["id"])

    def test_a_script_that_fails_asks_again_and_that_is_no_other_attempt(
        self, site: HouseSite, house: Appliance
    ) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        again = re.search(r"chain --replace --autofree http://10.77.0.1:8080(\S+) ", script(site))
        assert again
        route = route_of("GET", again[1])
        assert isinstance(route, Script)
        assert route.query["server"] == "10.77.0.1"
        assert route.query["arch"] == "7"
        for _ in range(10):
            asked = fetch(site, route.query)
            assert word(asked, "purpose") == "deploy" and "attempt" not in asked
        armed = house.nodes.show("n1").armed
        assert armed is not None
        assert armed.attempts == 1
        assert "attempt 2" in script(site)
        armed = house.nodes.show("n1").armed
        assert armed is not None
        assert armed.attempts == 2

    def test_a_retry_that_is_the_first_to_get_the_imager_counts(
        self, site: HouseSite, house: Appliance
    ) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        fetch(site, {"server": "10.77.0.1", "retry": "1"})
        armed = house.nodes.show("n1").armed
        assert armed is not None
        assert armed.attempts == 1

    def test_a_crashing_machine_is_held_after_its_attempts(self, site: HouseSite, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        for _ in range(5):
            assert word(script(site), "purpose") == "deploy"
        assert word(script(site), "purpose") == "hold"
        assert "5 boots" in (house.nodes.show("n1").error or "")

    def test_failure_holds_until_a_retry(self, site: HouseSite, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        machine = boot(site)
        machine.task()
        machine.say("deploy.failed", step="disk", error="too small")
        assert machine.task() == {"kind": "hold", "text": "disk: too small"}
        assert isinstance(machine.task(), Wait)
        house.deploys.retry(house.nodes.select("n1"))
        assert machine.task()["kind"] == "deploy"

    def test_an_image_that_is_gone_is_said_not_hidden(self, site: HouseSite, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        house.registry.nodes.save(msgspec_replace(node, "windows@1"))
        task = boot(site).task()
        assert task["kind"] == "hold"
        assert "windows@1" in task["text"]
        assert house.nodes.show("n1").state is NodeState.FAILED

    def test_a_report_about_an_older_arming_changes_nothing(
        self, site: HouseSite, house: Appliance, clock: Any
    ) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        machine = boot(site)
        old = machine.task()["id"]
        clock.now += 10
        house.deploys.reimage(house.nodes.select("n1"), "debian@2")
        machine.say("deploy.done", id=old)
        assert house.nodes.show("n1").state is NodeState.ARMED

    def test_an_imager_whose_task_was_taken_back_does_not_touch_the_disk(
        self, site: HouseSite, house: Appliance, clock: Any
    ) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        machine = boot(site)
        old = machine.task()["id"]
        house.deploys.cancel(house.nodes.select("n1"))
        assert machine.say("deploy.started", id=old).status == 409
        assert house.nodes.show("n1").state is NodeState.REGISTERED
        clock.now += 10
        house.deploys.reimage(house.nodes.select("n1"), "debian@2")
        assert machine.say("deploy.started", id=old).status == 409
        assert house.nodes.show("n1").state is NodeState.ARMED
        kinds = [event.kind for event in house.watch.latest()]
        assert kinds.count("deploy.started") == 2  # what the machine said is kept all the same

    def test_removed_while_it_waits_is_unknown_again(self, site: HouseSite, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        boot(site)
        house.nodes.remove("n1")
        machine = boot(site)
        assert machine.task()["kind"] == "wait"
        assert len(house.nodes.unknown()) == 1


def msgspec_replace(node: Any, image: str) -> Any:
    from dataclasses import replace

    return replace(node, armed=replace(node.armed, image=image))


class TestStrangers:
    def test_tokens(self, site: HouseSite) -> None:
        machine = boot(site)
        assert Machine(site, None).call("GET", "task").status == 401
        assert Machine(site, "x").call("GET", "task").status == 401
        assert machine.call("POST", "home", {}).status == 403
        assert machine.call("GET", "nothing").status == 404
        assert machine.call("DELETE", "task").status == 404

    def test_a_token_ends(self, site: HouseSite, clock: Any) -> None:
        machine = boot(site)
        clock.now += 8 * 86400
        assert machine.call("GET", "task").status == 401

    def test_a_waiting_imager_keeps_its_token(self, site: HouseSite, clock: Any) -> None:
        machine = boot(site)
        for _ in range(10):
            clock.now += 3 * 86400
            assert machine.call("GET", "task", waited=99.0).status in (200, 204)

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("facts", b"[]", 400),
            ("facts", b"{", 400),
            ("facts", b'{"a":"' + b"x" * 300_000 + b'"}', 413),
            (
                "facts",
                b'{"disks":[{"size":1' + b"0" * 400 + b"}]}",
                400,
            ),  # would break every page that shows it
            ("events", b'[{"kind":"deploy.progress","data":{"done":18446744073709551616}}]', 400),
            ("events", b'[{"kind":"node.removed"}]', 400),
            ("events", b'[{"kind":"deploy.done","text":5}]', 400),
            ("events", b"[1]", 400),
            ("events", b"[" + b",".join([b'{"kind":"deploy.x"}'] * (MAX_EVENTS + 1)) + b"]", 413),
            ("log", b"x" * (MAX_LOG + 1), 413),
        ],
    )
    def test_bad_bodies(self, site: HouseSite, path: str, body: bytes, status: int) -> None:
        assert boot(site).call("POST", path, raw=body).status == status

    def test_a_log_is_kept_without_its_escape_codes(self, site: HouseSite, house: Appliance) -> None:
        boot(site).call("POST", "log", raw=b"\x1b[31mred\x1b[0m \xff\n")
        ((_, text),) = house.watch.log(house.nodes.unknown()[0])
        assert text == "[31mred[0m \ufffd\n"

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
    @given(path=st.sampled_from(["facts", "events", "log", "home", "task"]), body=st.binary(max_size=200))
    def test_any_bytes_get_an_answer(self, site: HouseSite, path: str, body: bytes) -> None:
        for method in ("GET", "POST"):
            answer = boot(site).call(method, path, raw=body)
            assert isinstance(answer, Wait) or answer.status < 500

    def test_a_servers_name_from_the_query_is_only_ever_an_address(self, site: HouseSite) -> None:
        text = fetch(site, {"server": "evil\nreboot", "arch": "x"})
        assert "evil" not in text

    def test_without_one_it_is_the_address_that_was_reached(self, site: HouseSite) -> None:
        assert word(fetch(site, {}, "10.77.0.1"), "url") == "http://10.77.0.1:8080"


class TestManyPolls:
    def test_those_that_were_broken_off_are_forgotten(
        self, site: HouseSite, house: Appliance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nodeapi, "MOST_QUIET", 10)
        for _ in range(35):
            machine = boot(site)
            machine.task()
            assert isinstance(machine.task(), Wait)
        assert len(site._api._quiet) <= 10
        assert isinstance(machine.task(waited=1.0), Wait)


class TestNamesOfOthers:
    def test_have_the_domain_of_their_own_network(self, site: HouseSite, house: Appliance) -> None:
        lab = {"cidr": "10.78.0.0/24", "options": {"domain-name": "lab.test"}}
        subnets = (*house.config.subnets, build_subnet(lab))
        wide = structs.replace(house.config, subnets=subnets)
        nodes = Appliance(wide, house.registry).nodes
        nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
        nodes.add(Wanted(name="n2", address="10.78.0.12"))
        node = nodes.show("n1")
        found = tasks.identity(node, MAC, {}, wide, house.registry, "http://10.77.0.1:8080")
        assert found["hosts"] == [
            ["10.77.0.11", "n1.cluster.test", "n1"], ["10.78.0.12", "n2.lab.test", "n2"],
        ]  # fmt: skip


class TestStore:
    def test_only_for_a_machine_that_is_to_be_imaged(self, site: HouseSite, house: Appliance) -> None:
        machine = boot(site)
        assert site.store("manifests", "1" * 64, None) == Denied(401, "unknown or expired token")
        denied = site.store("manifests", "1" * 64, machine.token)
        assert isinstance(denied, Denied)
        assert denied.status == 403

    def test_only_its_own_image(self, site: HouseSite, house: Appliance, tmp_path: Path) -> None:
        class Store:
            def manifest_path(self, id: str) -> Path:
                return tmp_path / id

        house.nodes._images.store = Store  # type: ignore[method-assign]
        house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1"))
        token = boot(site).token
        assert site.store("manifests", "1" * 64, token) == tmp_path / ("1" * 64)
        assert isinstance(site.store("manifests", "2" * 64, token), Denied)
        assert isinstance(site.store("keys", "signing.key", token), Denied)


class TestOtherProcessors:
    def test_are_listed_and_told_why_they_get_no_imager(self, site: HouseSite, house: Appliance) -> None:
        text = fetch(site, {"server": "10.77.0.1", "arch": "11"})
        assert "kernel" not in text
        assert "ARM 64-bit UEFI" in text
        assert len(house.nodes.unknown()) == 1
        house.nodes.adopt(MAC, Wanted(name="n1", image="debian"))
        for _ in range(9):
            fetch(site, {"server": "10.77.0.1", "arch": "11"})
        assert house.nodes.show("n1").state is NodeState.ARMED


class TestNoImagerYet:
    def test_says_so_and_asks_again(self, house: Appliance, config: Config, clock: Any) -> None:
        site = a_site(house, config, clock)
        text = script(site)
        assert "bootsrv doctor" in text
        assert "chain --replace" in text
