"""Orders: only what the server signed for this machine's token, with a number that was not taken before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images import signature
from images.agent import sealed as seals
from images.agent.home import Server as Home
from images.agent.home import renew
from images.agent.rootfs import Root
from images.agent.service import order as orders
from images.agent.service.order import Order, accepted, is_agent, ring, sealed
from images.agent.service.place import Memory, server
from images.agent.service.work import carry_out, task_of
from images.errors import BadInput, ImageError, SignatureInvalid

PRIVATE = bytes(range(32))
PUBLIC = signature.public_key(PRIVATE)
HELD = seals.holder("token")
AGENT = "0" * 64
GOOD = Order(7, "update", AGENT, {"ref": "debian@2"})


def taken(order: Order, last: int = 6, held: bytes = HELD, private: bytes = PRIVATE) -> Order:
    return accepted(sealed(order, held, private), "token", PUBLIC, last)


def test_what_was_signed_for_this_machine() -> None:
    assert taken(GOOD) == GOOD
    assert taken(GOOD._replace(command="drift")).command == "drift"


def test_nobody_elses_order() -> None:
    with pytest.raises(SignatureInvalid):
        taken(GOOD, held=seals.holder("another machine's"))
    with pytest.raises(SignatureInvalid):
        taken(GOOD, private=bytes(32))
    with pytest.raises(SignatureInvalid):  # signed by the right key for something else
        accepted(seals.seal(GOOD._asdict(), HELD, PRIVATE), "token", PUBLIC, 6)


def test_no_order_twice() -> None:
    with pytest.raises(BadInput, match="started again while it worked"):
        taken(GOOD, last=7)
    with pytest.raises(BadInput, match="order 7 is an old one: 9"):
        taken(GOOD, last=9)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"command": "capture"}, "none of update, drift"), ({"command": ["update"]}, "none of"),
        ({"agent": "0" * 63 + "\n"}, "which agent"), ({"agent": None}, "which agent"),
        ({"number": True}, "no number"), ({"number": "8"}, "no number"), ({"task": []}, "no task"),
    ],
)  # fmt: skip
def test_odd_orders_even_when_signed(change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        taken(GOOD._replace(**change))


@given(st.data())
def test_one_changed_sign_is_enough(data: st.DataObject) -> None:
    answer = sealed(GOOD, HELD, PRIVATE)
    name = data.draw(st.sampled_from(sorted(answer)))
    place = data.draw(st.integers(0, len(answer[name]) - 1))
    other = data.draw(st.sampled_from("0123456789abcdef\"{}x"))
    text = answer[name][:place] + other + answer[name][place + 1 :]
    if text.lower() == answer[name].lower():
        return
    with pytest.raises((SignatureInvalid, BadInput)):
        accepted({**answer, name: text}, "token", PUBLIC, 6)


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.lists(st.text())))
def test_anything_else_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        accepted(answer, "token", PUBLIC, 0)


def test_only_the_agent_that_the_order_names() -> None:
    is_agent(b"", GOOD._replace(agent="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    with pytest.raises(BadInput, match="upgraded"):
        is_agent(b"another", GOOD)


def test_a_ring_is_one_machines() -> None:
    assert ring(HELD) != ring(seals.holder("other")) and len(ring(HELD)) == 32


def machine(root: Path, **change: str) -> Path:
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").touch()
    known = {"secure": "https://10.0.0.1:8443/node/v1/home", "certificate": "PEM", "pin": "sha256//x"}
    home = Home("http://10.0.0.1:8080/node/v1/home", "se=cret", key=PUBLIC.hex(), **{**known, **change})
    renew(Root(root), home, "debian@1")
    return root


def test_a_machine_knows_its_server(tmp_path: Path) -> None:
    found = server(machine(tmp_path))
    assert (found.url, found.token, found.key) == ("https://10.0.0.1:8443", "se=cret", PUBLIC)
    assert found.certificate == "PEM"


def test_no_orders_over_plain_http(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="tls_port"):
        server(machine(tmp_path, secure=""))
    conf = (tmp_path / "etc/bootsrv/home.conf").read_text()
    assert conf.startswith("url=http://10.0.0.1:8080/node/v1/home\n") and "pin" not in conf


def test_what_was_taken_and_not_told_outlives_the_process(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert memory.last == 0 and memory.kept() is None
    memory.take(12)
    memory.keep({"number": 12, "ended": {"code": 0}})
    assert Memory(tmp_path).last == 12
    assert Memory(tmp_path).kept() == {"number": 12, "ended": {"code": 0}}
    memory.told()
    assert memory.kept() is None
    (tmp_path / "var/lib/bootsrv/agent/taken").write_text("\0")
    with pytest.raises(BadInput, match="damaged"):
        _ = memory.last


def test_the_agent_gets_its_task_by_its_environment(tmp_path: Path) -> None:
    where = server(machine(tmp_path))
    script = (
        b"import base64, json, os, sys\n"
        b"task = json.loads(base64.b64decode(os.environ['BOOTSRV_TASK']))\n"
        b"print('no JSON'); print(json.dumps({'task': task, 'words': sys.argv[1:]}))\n"
        b"print(json.dumps({'step': 'done'}))\n"
    )
    heard: list[dict[str, Any]] = []
    assert carry_out(GOOD, where, script, heard.append) == {"code": 0, "error": ""}
    assert heard[0]["words"] == ["update"] and heard[1] == {"step": "done"}
    task = heard[0]["task"]
    assert task == task_of(GOOD, where) and task["token"] == "se=cret" and task["ref"] == "debian@2"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (b"print('{\"error\": \"disk full\"}'); raise SystemExit(3)", "disk full"),
        (b"raise SystemExit('bad news')", "bad news"),
        (b"import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
        (b"", "exit code 0"),
    ],
)
def test_a_failure_in_the_agents_words(tmp_path: Path, script: bytes, error: str) -> None:
    ended = carry_out(GOOD, server(machine(tmp_path)), script, lambda line: None)
    assert ended["code"] and ended["error"] == error


def test_the_label_is_its_own() -> None:
    assert orders.LABEL != seals.ROOT and json.loads(sealed(GOOD, HELD, PRIVATE)["signed"])["number"] == 7
