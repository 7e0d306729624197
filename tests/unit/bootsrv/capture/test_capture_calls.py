"""The capture API hears nonsense, and says so in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config
from bootsrv.registry.registry import Registry
from bootsrv.uploads import IDLE_SECONDS, Asked, Uploads
from images.capture import wire
from images.manifest import Chunk, Entry, write_entry
from pxe.http.ports import Reply


class Caller:
    """Says what a machine says, and worse."""

    def __init__(self, house: Appliance, now: list[float]) -> None:
        self.house, self.now = house, now
        self.uploads = Uploads(house.registry, house.images, lambda: now[0])
        self.token: str | None = house.captures.token("golden").text
        self.session = ""

    def call(self, path: str, body: bytes = b"", method: str = "POST", **query: str) -> Reply:
        query = {"session": self.session, **query}
        return self.uploads.handle(Asked(method, path, query, body, self.token))

    def begin(self, **said: Any) -> Reply:
        said.setdefault("wire", wire.VERSION)
        reply = self.call("begin", json.dumps(said).encode())
        self.session = json.loads(reply.body).get("session", "")
        return reply

    def error(self, path: str, body: bytes = b"", **query: str) -> tuple[int, str]:
        reply = self.call(path, body, **query)
        return reply.status, json.loads(reply.body)["error"]


@pytest.fixture
def caller(config: Config, registry: Registry) -> Iterator[Caller]:
    now = [1_700_000_000.0]
    made = Caller(Appliance(config, registry, lambda: now[0]), now)
    yield made
    made.uploads.close()


def sealed(*records: tuple[int, bytes]) -> bytes:
    body = b"".join(wire.HEAD.pack(kind, len(payload)) + payload for kind, payload in records)
    return wire.seal(wire.RAW, body, len(body))


def named(path: bytes, kind: str = "file", **more: Any) -> tuple[int, bytes]:
    return wire.ENTRY, write_entry(Entry(path, kind, mode=0o755, **more)).strip()


ROOT, ETC = named(b"", "dir"), named(b"etc", "dir")
LOST = Chunk(b"\1" * 32, 3)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("have", b"short", "at most 4096 ids of 32 bytes"),
        ("chunks", b"", "a body without its head"),
        ("chunks", wire.seal(wire.RAW, b"\0\0\0\0", 4), "a chunk that is empty or cut off"),
        ("chunks", wire.seal(wire.ZLIB, b"no zlib", 7), "zlib"),
        ("chunks", wire.seal(wire.ZSTD, b"no zstd", 7), "zstd"),
        ("chunks", wire.seal(wire.RAW, b"", wire.LIMIT + 1), "at most"),
        ("stream", wire.seal(wire.RAW, b"D\0\0\0\1", 5), "a record that is cut off"),
        ("stream", wire.seal(wire.RAW, b"D\0\0", 3), "a record without its head"),
        ("stream", sealed((0, b"")), "a record of kind 0"),
        ("stream", sealed((wire.KNOWN, b"x" * 35)), "a record of chunks that is cut off"),
        ("stream", sealed((wire.KNOWN, bytes(36))), "a chunk without bytes"),
        ("stream", sealed((wire.ENTRY, b'{"path":"../x","type":"dir"}')), "would leave the tree"),
        ("stream", sealed((wire.ENTRY, b"nonsense")), "manifest"),
        ("stream", sealed((wire.DATA, b"x"), ROOT), "data of what is no file"),
        ("stream", sealed((wire.DATA, b"x"), named(b"etc/x", size=2)), "its chunks do not add up"),
        ("publish", b"[" * 100_000, "not valid JSON"),
        ("publish", b"{}", "there is nothing in it"),
    ],
)
def test_nonsense_is_refused(caller: Caller, path: str, body: bytes, said: str) -> None:
    assert caller.begin().status == 200
    status, error = caller.error(path, body, number="0")
    assert (status == 400 and said in error) or (said == "there is nothing in it" and "no /etc" in error)
    assert not caller.house.images.list()


def test_without_a_token_nothing_is_heard(caller: Caller) -> None:
    for token in (None, "guess"):
        caller.token = token
        assert not caller.uploads.admits(token)
        assert caller.error("begin", b"{}")[0] == 401
    assert caller.uploads.handle(Asked("PUT", "begin", {}, b"", None)).status == 404


def test_another_session_is_told_to_begin_again(caller: Caller) -> None:
    assert caller.error("have")[0] == 410
    caller.begin()
    first = caller.session
    caller.begin()
    assert caller.error("have", session=first)[0] == 410
    assert caller.call("have").status == 200


def test_a_version_without_its_chunks_is_not_published(caller: Caller) -> None:
    caller.begin()
    lost = wire.KNOWN, wire.pack_known_chunks([LOST])
    assert caller.call("stream", sealed(ROOT, ETC, lost, named(b"etc/x", size=3)), number="0").status == 200
    status, error = caller.error("publish", b"{}")
    assert status == 410 and "vanished" in error
    assert not caller.house.images.list()


def test_what_comes_twice_counts_once(caller: Caller) -> None:
    caller.begin()
    bodies = sealed(ROOT, ETC, (wire.DATA, b"ab")), sealed((wire.DATA, b"c"), named(b"etc/x", size=3))
    for number in (0, 0, 1, 0, 1):
        assert caller.call("stream", bodies[number], number=str(number)).status == 200
    made = json.loads(caller.call("publish", b"{}").body)
    assert (made["ref"], made["files"], made["bytes"], made["added"]) == ("golden@1", 3, 3, 3)
    assert json.loads(caller.call("publish", b"{}").body) == made, "asked again, told again"


def test_what_is_dropped_is_not_there(caller: Caller) -> None:
    caller.begin()
    body = sealed(
        ROOT, ETC, (wire.DATA, b"half"), (wire.LOOK, b"half"), (wire.DROP, b""), (wire.DATA, b"ID=debian"),
        (wire.LOOK, b"ID=debian"), named(b"etc/os-release", size=9),
    )  # fmt: skip
    assert caller.call("stream", body, number="0").status == 200
    assert caller.call("publish", b"{}").status == 200
    version = caller.house.images.resolve("golden")
    assert (version.bytes, version.meta["os_release"]) == (9, {"id": "debian"})


def test_the_stream_keeps_its_order(caller: Caller) -> None:
    caller.begin()
    status, error = caller.error("stream", sealed(ETC), number="1")
    assert (status, error) == (425, "body 1 came, but 0 did not yet")
    for number in ("", "-1", "x"):
        assert caller.error("stream", sealed(ROOT), number=number)[0] == 400
    assert caller.call("stream", sealed(ROOT), number="0").status == 200
    assert caller.call("stream", sealed(ETC), number="1").status == 200


def test_what_was_taken_in_part_is_begun_with_again(caller: Caller, monkeypatch: Any) -> None:
    """A disk that was full: what had come of the body cannot be told from what had not."""
    caller.begin()
    receiver = next(iter(caller.uploads._open.values())).receiver
    with monkeypatch.context() as patched:
        patched.setattr(receiver._session, "put", full)
        assert caller.error("stream", sealed(ROOT, (wire.DATA, b"x" * 600_000)), number="0")[0] == 507
    for number in ("0", "1"):
        status, error = caller.error("stream", sealed(ETC), number=number)
        assert (status, error) == (410, "this capture broke off on the server: begin again")


def full(data: Any) -> Any:
    raise OSError(28, "No space left on device")


def test_an_agent_of_another_version_is_told_what_to_do(caller: Caller) -> None:
    for said in ({"wire": 1}, {"wire": None}):
        reply = caller.begin(**said)
        assert reply.status == 400
        assert "of another version of bootsrv than its server: fetch it there again" in reply.body.decode()


def test_what_nobody_goes_on_with_is_forgotten(caller: Caller) -> None:
    caller.begin()
    caller.now[0] += IDLE_SECONDS + 1
    caller.uploads.tidy()
    assert caller.error("have")[0] == 410


def test_a_store_that_cannot_sign_says_so_before_anything_is_sent(caller: Caller) -> None:
    store = caller.house.images.store()
    (store.keys / "signing.key").unlink()
    reply = caller.begin()
    status, error = reply.status, json.loads(reply.body)["error"]
    assert status == 424 and "signing.key is missing; restore it from a backup" in error
