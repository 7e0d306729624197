"""Killed or out of space at any write: what was published stays whole, and the next try succeeds."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagestore import contents, make, noise, publish

from images import disk, pack
from images import publish as publishing
from images.store import ImageStore

OLD = {"a": noise(80_000, 1), "b": b"text"}
NEW = {"a": noise(80_000, 1), "c": noise(150_000, 2), "d": noise(10_000, 3)}


class Boom:
    """Counts what touches the disk; at number `at` calls `then` instead."""

    def __init__(self, at: int, then: object) -> None:
        self.count = 0
        self.at = at
        self.then = then

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.then()  # type: ignore[operator]


@contextlib.contextmanager
def armed(boom: Boom) -> Iterator[None]:
    patch = pytest.MonkeyPatch()

    def wrap(module: object, name: str, half: bool = False) -> None:
        real = getattr(module, name)

        def call(*arguments, **named):  # type: ignore[no-untyped-def]
            if half and boom.count + 1 == boom.at:  # a write that stops in the middle
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            boom()
            return real(*arguments, **named)

        patch.setattr(module, name, call)

    for module in (disk, pack, publishing):
        wrap(module, "write_all", half=True)
        if hasattr(module, "create"):
            wrap(module, "create")
    wrap(os, "fsync")
    for module in (disk, pack, publishing):
        wrap(module, "publish_file")
    wrap(Path, "replace")
    wrap(disk, "sync_dir")
    try:
        yield
    finally:
        patch.undo()


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def steps() -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = make(Path(folder))
        publish(store, "a", OLD)
        counter = Boom(0, None)
        with armed(counter):
            publish(store, "a", NEW)
    return counter.count


STEPS = steps()


def aftermath(store: ImageStore) -> None:
    """The law, whatever happened."""
    store = ImageStore.open(store.root)
    assert not list(store.verify())
    versions = store.versions("a")
    assert len(versions) in (1, 2)
    assert contents(store, "a@1") == OLD
    if len(versions) == 2:
        assert contents(store, "a@2") == NEW
    store.gc(grace=0)
    again = publish(store, "a", NEW)
    assert again.number == len(versions) + 1 and contents(store, again.ref) == NEW
    assert contents(store, "a@1") == OLD
    store.gc(grace=0)
    assert not list(store.temp.iterdir()) and not list(store.sessions.iterdir())
    assert not list(store.verify())


def test_there_is_something_to_break() -> None:
    assert STEPS > 20


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_disk_full(tmp_path: Path, at: int) -> None:
    store = make(tmp_path)
    publish(store, "a", OLD)
    with armed(Boom(at, full)), pytest.raises(OSError, match="No space"):
        publish(store, "a", NEW)
    aftermath(store)


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_killed(tmp_path: Path, at: int) -> None:
    store = make(tmp_path)
    publish(store, "a", OLD)
    child = os.fork()
    if not child:
        with armed(Boom(at, lambda: os._exit(9))):
            publish(store, "a", NEW)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    aftermath(store)
