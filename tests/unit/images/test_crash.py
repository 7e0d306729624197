"""Killed or out of space at any write: what was published stays whole, and the next try succeeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crashing import Boom, armed, full
from imagestore import contents, make, noise, publish

from images.store import ImageStore

OLD = {"a": noise(80_000, 1), "b": b"text", "c": noise(150_000, 2)}
NEW = {  # of "c", patches are kept
    "a": noise(80_000, 1), "c": b"an edit".join(OLD["c"][at : at + 9000] for at in range(0, 150_000, 9000)),
    "d": noise(10_000, 3),
}  # fmt: skip


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
    said = ""
    try:
        with armed(Boom(at, full)):
            publish(store, "a", NEW)
    except OSError as error:
        said = str(error)
    assert "No space" in said or contents(store, "a@2") == NEW  # where only patches found no room
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


def test_killed_before_the_first_version_of_a_name(tmp_path: Path) -> None:
    """What is left is no image whose catalogue was lost."""
    for at in range(1, STEPS + 4):
        store = make(tmp_path / str(at))
        child = os.fork()
        if not child:
            with armed(Boom(at, lambda: os._exit(9))):
                publish(store, "a", OLD)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        assert not list(store.verify()) and not store.lost()
        store.gc(grace=0)
        assert contents(store, publish(store, "a", OLD).ref) == OLD
    assert at > 15
