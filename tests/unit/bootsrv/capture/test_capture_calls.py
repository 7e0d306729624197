"""The capture API hears nonsense, and says so in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config
from bootsrv.registry.registry import Registry
from bootsrv.uploads import IDLE_SECONDS, Uploads
from images.capture import wire
from images.manifest import Chunk, Entry, write_entry
from pxe.http.ports import NodeRequest, Reply


class Caller:
    """Says what a machine says, and worse."""

    def __init__(self, house: Appliance, now: list[float]) -> None:
        self.house, self.now = house, now
        self.uploads = Uploads(house.registry, house.images, lambda: now[0])
        self.token: str | None = house.captures.token("golden").text
        self.session = ""

    def call(self, path: str, body: bytes = b"", method: str = "POST", **query: str) -> Reply:
        query = {"session": self.session, **query}
        return self.uploads.handle(NodeRequest(method, path, query, {}, body, "10.0.0.1", self.token))

    def begin(self, **said: Any) -> Reply:
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


def sealed(*lines: bytes, number: int = 0) -> bytes:
    body = b"\n".join([json.dumps({"number": number, "looks": {}}).encode(), *lines])
    return wire.seal(wire.RAW, body, len(body))


ROOT = write_entry(Entry(b"", "dir", mode=0o755)).strip()
ETC = write_entry(Entry(b"etc", "dir", mode=0o755)).strip()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("have", b"short", "at most 4096 ids of 32 bytes"),
        ("chunks", b"", "a body without its head"),
        ("chunks", wire.seal(wire.RAW, b"\0\0\0\0", 4), "a chunk that is empty or cut off"),
        ("chunks", wire.seal(wire.ZLIB, b"no zlib", 7), "zlib"),
        ("chunks", wire.seal(wire.ZSTD, b"no zstd", 7), "zstd"),
        ("chunks", wire.seal(wire.RAW, b"", wire.LIMIT + 1), "at most"),
        ("cut", wire.seal(wire.RAW, b"x" * 99, 99), "too short to cut"),
        ("entries", sealed(ROOT, ETC, number=5), "only 0 came before"),
        ("entries", sealed(b'{"path":"../x","type":"dir"}'), "would leave the tree"),
        ("entries", sealed(b"nonsense"), "manifest"),
        ("entries", wire.seal(wire.RAW, b"[]", 2), "not a JSON object"),
        ("publish", b"[" * 100_000, "not valid JSON"),
        ("publish", b"{}", "there is nothing in it"),
    ],
)
def test_nonsense_is_refused(caller: Caller, path: str, body: bytes, said: str) -> None:
    assert caller.begin().status == 200
    status, error = caller.error(path, body)
    assert (status == 400 and said in error) or (said == "there is nothing in it" and "no /etc" in error)
    assert not caller.house.images.list()


def test_without_a_token_nothing_is_heard(caller: Caller) -> None:
    for token in (None, "guess"):
        caller.token = token
        assert not caller.uploads.admits(token)
        assert caller.error("begin", b"{}")[0] == 401
    assert caller.uploads.handle(NodeRequest("PUT", "begin", {}, {}, b"", "", None)).status == 404


def test_another_session_is_told_to_begin_again(caller: Caller) -> None:
    assert caller.error("have")[0] == 410
    caller.begin()
    first = caller.session
    caller.begin()
    assert caller.error("have", session=first)[0] == 410
    assert caller.call("have").status == 200


def test_a_version_without_its_chunks_is_not_published(caller: Caller) -> None:
    caller.begin()
    file = Entry(b"etc/x", "file", mode=0o644, size=3, chunks=(Chunk(b"\1" * 32, 3),))
    assert caller.call("entries", sealed(ROOT, ETC, write_entry(file).strip())).status == 200
    status, error = caller.error("publish", b"{}")
    assert status == 410 and "vanished" in error
    assert not caller.house.images.list()


def test_entries_that_come_twice_count_once(caller: Caller) -> None:
    caller.begin()
    for _ in range(2):
        assert caller.call("entries", sealed(ROOT, ETC)).status == 200
    made = json.loads(caller.call("publish", b"{}").body)
    assert (made["ref"], made["files"]) == ("golden@1", 2)
    assert json.loads(caller.call("publish", b"{}").body) == made, "asked again, told again"


def test_what_nobody_goes_on_with_is_forgotten(caller: Caller) -> None:
    caller.begin()
    caller.now[0] += IDLE_SECONDS + 1
    caller.uploads.tidy()
    assert caller.error("have")[0] == 410


def test_a_store_that_cannot_sign_says_so_before_anything_is_sent(caller: Caller) -> None:
    store = caller.house.images.store()
    (store.keys / "signing.key").unlink()
    status, error = caller.error("begin", b"{}")
    assert status == 424 and "signing.key is missing; restore it from a backup" in error
