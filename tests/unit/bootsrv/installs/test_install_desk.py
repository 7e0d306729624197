"""From arming to the first call home, as the machine sees it over HTTP: answers for one machine, and once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from install_house import MACS, PROFILE, House

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid, NotFound
from bootsrv.installs.once import GRACE
from bootsrv.model import NodeState
from pxe.http.ports import NodeRequest


@pytest.fixture
def made(house: Appliance, config: Config, clock: Any, tmp_path: Path) -> House:
    return House(house, config, clock, tmp_path)


@pytest.fixture
def armed(made: House) -> House:
    made.house.installs.install(made.house.nodes.select("n[1-2]"))
    return made


def home(made: House, token: str, peer: str = "10.77.0.11") -> int:
    request = NodeRequest("POST", "home", {}, {}, b"hostname=n1&kernel=6.12", peer, token)
    answer = made.site.node(request)
    return getattr(answer, "status", 0)


def home_token(text: str) -> str:
    """What the installed system is given to call home with."""
    import base64
    import re

    for part in re.findall(r"[A-Za-z0-9+/=]{200,}", text):
        found = re.search(rb"Bearer ([A-Za-z0-9_-]{43})", base64.b64decode(part))
        if found:
            return found[1].decode()
    raise AssertionError("no token in the answers")


def test_armed_for_one_installation(armed: House) -> None:
    node = armed.node()
    assert node.state is NodeState.ARMED and node.armed is not None and node.armed.install is not None
    assert (node.armed.install.profile, node.armed.install.tree) == ("web", "debian13")
    assert armed.house.watch.plan(node).action == "installer"


def test_the_whole_way(armed: House) -> None:
    script = armed.script()
    base = "http://10.77.0.1:8080"
    assert f"kernel {base}/tree/debian13/debian-installer/amd64/linux auto=true priority=critical" in script
    assert f"initrd --name initrd.gz {base}/tree/debian13/debian-installer/amd64/initrd.gz" in script
    assert "hostname=n1" in script and "domain=cluster.test" in script and "log_host=10.77.0.1" in script
    token = armed.token(script)
    answers = armed.ask(token, "preseed.cfg")
    assert answers.status == 200 and answers.headers["Cache-Control"] == "no-store"
    text = answers.body.decode()
    assert "d-i passwd/username string ada\n" in text and f"/install/{token}/tell/done" not in text
    node = armed.node()
    assert node.state is NodeState.IMAGING and node.half_written, "its disk must not be booted from here on"
    assert armed.ask(token, "tell/started").status == 200
    assert armed.ask(token, "tell/done", method="POST").status == 200
    node = armed.node()
    assert node.state is NodeState.INSTALLED and node.armed is None and not node.half_written
    assert "sanboot" in armed.script(), "it boots its own disk"
    assert home(armed, home_token(text)) == 200
    assert armed.node().state is NodeState.RUNNING
    kinds = [one.kind for one in armed.events() if one.kind.startswith(("install", "home"))]
    assert kinds == ["install.started", "install.step", "install.done", "home"]
    assert armed.ask(token, "tell/done", method="POST").status == 200, "its first answer may have been lost"


def test_two_machines_armed_at_once_get_their_own(armed: House) -> None:
    first, second = armed.token(armed.script(1)), armed.token(armed.script(2))
    one = armed.ask(first, "preseed.cfg").body.decode()
    other = armed.ask(second, "preseed.cfg", "10.77.0.12").body.decode()
    assert "get_hostname string n1\n" in one and "get_hostname string n2\n" in other


def test_a_stranger_gets_none_and_is_an_alarm(armed: House) -> None:
    token = armed.token(armed.script())
    assert armed.ask(token, "preseed.cfg", "10.77.0.12").status == 403
    assert armed.ask(token, "preseed.cfg", "10.77.0.99").status == 403
    assert armed.ask("x" * 43, "preseed.cfg", "10.77.0.99").status == 404
    assert len(armed.events(kind="alarm.foreign")) == 2
    assert armed.node().state is NodeState.ARMED, "a stranger's question changes nothing"
    assert armed.ask(token, "preseed.cfg").status == 200
    assert armed.ask(token, "tell/done", "10.77.0.12", "POST").status == 403
    assert armed.node().state is NodeState.IMAGING


def test_who_asked_for_the_boot_script_before_is_an_alarm_of_its_own(armed: House) -> None:
    armed.site.boot_script(MACS[0], {"server": "10.77.0.1"}, "10.77.0.12", "", 60.0, "script.ipxe")
    assert armed.ask(armed.token(armed.script()), "preseed.cfg", "10.77.0.12").status == 403
    told = " ".join(event.text for event in armed.events(kind="alarm.foreign"))
    assert "the boot script of this machine" in told and "the answer file of this machine" in told


def test_a_broken_transfer_may_be_repeated_by_the_same_machine_only(armed: House) -> None:
    token = armed.token(armed.script())
    request = NodeRequest("GET", "preseed.cfg", {}, {}, b"", "10.77.0.11", None, 60.0)
    for _ in range(3):  # never sent whole
        assert armed.site.install(token, "preseed.cfg", request).status == 200  # type: ignore[union-attr]
        armed.clock.now += 2 * GRACE
    armed.lease("10.77.0.50", MACS[0])
    assert armed.ask(token, "preseed.cfg", "10.77.0.50").status == 403, "another address of the same machine"
    assert armed.ask(token, "preseed.cfg").status == 200
    armed.clock.now += GRACE / 2
    assert armed.ask(token, "preseed.cfg").status == 200, "it may have got lost behind our back"
    armed.clock.now += GRACE
    assert armed.ask(token, "preseed.cfg").status == 410
    assert "once more" in armed.events(kind="alarm.foreign")[-1].text


def test_once_the_installer_calls_the_door_is_shut(armed: House) -> None:
    token = armed.token(armed.script())
    assert armed.ask(token, "preseed.cfg").status == 200
    assert armed.ask(token, "tell/started").status == 200
    assert armed.ask(token, "preseed.cfg").status == 410
    assert [one.text for one in armed.events(kind="alarm.foreign")]


def test_a_new_boot_has_answers_of_its_own(armed: House) -> None:
    token = armed.token(armed.script())
    assert armed.ask(token, "preseed.cfg").status == 200
    armed.clock.now += 300  # a power cut
    again = armed.token(armed.script())
    assert again != token and armed.node().armed.attempts == 2  # type: ignore[union-attr]
    assert armed.ask(token, "preseed.cfg").status == 410
    assert armed.ask(again, "preseed.cfg").status == 200


def test_it_never_loops(armed: House) -> None:
    for attempt in range(5):
        armed.ask(armed.token(armed.script()), "preseed.cfg")
        assert armed.node().state is NodeState.IMAGING, attempt
        armed.clock.now += 300
    script = armed.script()
    node = armed.node()
    assert node.state is NodeState.FAILED and "did not finish installing in 5 boots" in str(node.error)
    assert "bootsrv.purpose=hold" in script
    armed.house.deploys.retry([node])
    assert armed.node().state is NodeState.ARMED and "auto=true" in armed.script()


def test_a_script_asked_again_within_one_boot_is_no_attempt(armed: House) -> None:
    assert "attempt" not in armed.script()
    assert "attempt" not in armed.script(retry=True)
    assert "attempt" not in armed.script(retry=True)
    assert armed.node().armed.attempts == 1  # type: ignore[union-attr]
    assert "attempt 2" in armed.script()


def test_a_look_takes_nothing(armed: House) -> None:
    token = armed.token(armed.script())
    assert armed.ask(token, "preseed.cfg", method="HEAD").status == 200
    assert armed.node().state is NodeState.ARMED
    assert armed.ask(token, "other.cfg").status == 404


def test_a_failure_is_told_with_its_log_and_held(armed: House) -> None:
    token = armed.token(armed.script())
    armed.ask(token, "preseed.cfg")
    armed.ask(token, "tell/log", method="POST", body=b"disk on fire\x1b[31m\n")
    armed.ask(token, "tell/failed", method="POST", error="no space left")
    node = armed.node()
    assert node.state is NodeState.FAILED and node.error == "installer: no space left"
    assert [text for _, text in armed.house.watch.log(node)] == ["disk on fire[31m\n"]
    assert "bootsrv.purpose=hold" in armed.script()
    assert armed.ask(token, "tell/done", method="POST").status == 200, (
        "a person saw it through at the console"
    )
    assert armed.node().state is NodeState.INSTALLED


def test_a_lost_last_word_is_made_good_by_the_first_call_home(armed: House) -> None:
    token = armed.token(armed.script())
    text = armed.ask(token, "preseed.cfg").body.decode()
    assert home(armed, home_token(text)) == 200
    node = armed.node()
    assert node.state is NodeState.RUNNING and node.armed is None and not node.half_written


def test_an_old_system_that_calls_home_ends_no_installation(armed: House) -> None:
    text = armed.ask(armed.token(armed.script()), "preseed.cfg").body.decode()
    armed.clock.now += 1
    armed.house.deploys.retry([armed.house.registry.nodes.save(_failed(armed))])
    assert home(armed, home_token(text)) == 200
    assert armed.node().state is NodeState.ARMED


def _failed(armed: House) -> Any:
    from dataclasses import replace

    return replace(armed.node(), state=NodeState.FAILED, error="x")


def test_armed_only_with_answers_that_are_good(made: House) -> None:
    with pytest.raises(NotFound):
        made.house.installs.install([made.node()], "nothing")
    with pytest.raises(NotFound):
        made.house.installs.install([made.node()], "web", "nothing")
    made.house.profiles.save("old", PROFILE.replace("debian13", "debian12"), "test")
    with pytest.raises(Invalid, match="no tree of debian12"):
        made.house.installs.install([made.node()], "old")
    with pytest.raises(Invalid, match="debian13; the profile is for debian12"):
        made.house.installs.install([made.node()], "old", "debian13")
    assert made.node().armed is None


def test_a_tree_that_installs_only_from_its_cd_is_not_taken(made: House, tmp_path: Path) -> None:
    cd = tmp_path / "cd"
    for name, text in {
        ".disk/info": 'Debian GNU/Linux 13.0.0 "Trixie" - Official amd64 NETINST 20250809-11:20',
        "install.amd/vmlinuz": "kernel",
        "install.amd/initrd.gz": "initrd",
    }.items():
        (cd / name).parent.mkdir(parents=True, exist_ok=True)
        (cd / name).write_text(text)
    made.house.trees.import_(str(cd), "cd")
    with pytest.raises(Invalid, match="tree cd: this initrd looks for its packages on a CD only"):
        made.house.installs.install([made.node()], "web", "cd")
    made.house.installs.install([made.node()], "web")
    node = made.node()
    assert node.armed and node.armed.install and node.armed.install.tree == "debian13"


def test_a_node_being_written_is_left_alone(armed: House) -> None:
    armed.ask(armed.token(armed.script()), "preseed.cfg")
    with pytest.raises(Conflict, match="being written"):
        armed.house.installs.install([armed.node()])
    with pytest.raises(Conflict):
        armed.house.deploys.cancel([armed.node()])


def test_an_answer_within_20_ms(armed: House) -> None:
    token = armed.token(armed.script())
    request = NodeRequest("GET", "preseed.cfg", {}, {}, b"", "10.77.0.11", None, 60.0)
    took = []
    for _ in range(20):
        start = time.perf_counter()
        assert armed.site.install(token, "preseed.cfg", request).status == 200  # type: ignore[union-attr]
        took.append(time.perf_counter() - start)
    assert sorted(took)[len(took) // 2] < 0.020, took


def test_a_service_started_anew_still_has_them(armed: House, config: Config, clock: Any) -> None:
    token = armed.token(armed.script())
    armed.site._desk._made.clear()
    assert armed.ask(token, "preseed.cfg").status == 200
