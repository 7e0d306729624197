"""Entries in any order come out as a tree: replaced, linked, removed as a file system would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from images.errors import BadInput
from images.manifest import Entry, read_entries, write_entry
from images.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path)
    yield made
    made.close()


def tree(spool: Spool) -> dict[str, str]:
    """Path to type (and target), after the manifest's own reader agreed."""
    entries = read_entries(write_entry(entry) for entry in spool.entries())
    return {e.path.decode(): e.type + (f">{e.target.decode()}" if e.target else "") for e in entries}


def test_sorted_with_parents(spool: Spool) -> None:
    for path in (b"z", b"a-b", b"a/c/d", b"a/b"):
        spool.add(Entry(path, "fifo"))
    found = tree(spool)
    assert list(found) == ["", "a", "a/b", "a/c", "a/c/d", "a-b", "z"]
    assert [found[path] for path in ("", "a", "a/c")] == ["dir"] * 3


def test_the_first_name_carries_the_file(spool: Spool) -> None:
    spool.add(Entry(b"z", "file", mode=0o640))
    spool.link(b"m", b"z")
    spool.link(b"a/x", b"m")
    assert tree(spool) == {"": "dir", "a": "dir", "a/x": "file", "m": "hardlink>a/x", "z": "hardlink>a/x"}


def test_a_link_keeps_the_old_content(spool: Spool) -> None:
    spool.add(Entry(b"old", "file", mode=0o600))
    spool.link(b"kept", b"old")
    spool.add(Entry(b"old", "file", mode=0o644))
    modes = {entry.path: entry.mode for entry in spool.entries()}
    assert modes == {b"": 0o755, b"kept": 0o600, b"old": 0o644}


def test_directories_merge_and_files_replace(spool: Spool) -> None:
    spool.add(Entry(b"d", "dir", mode=0o700))
    spool.add(Entry(b"d/x", "fifo"))
    spool.add(Entry(b"d", "dir", mode=0o711))
    assert tree(spool) == {"": "dir", "d": "dir", "d/x": "fifo"}
    assert {entry.path: entry.mode for entry in spool.entries()}[b"d"] == 0o711
    spool.add(Entry(b"d", "fifo"))
    assert tree(spool) == {"": "dir", "d": "fifo"}


def test_parents_that_are_links_lead_inside(spool: Spool) -> None:
    spool.add(Entry(b"usr/lib", "dir"))
    spool.add(Entry(b"lib", "symlink", target=b"usr/lib"))
    spool.add(Entry(b"up", "symlink", target=b"../../../../lib"))
    spool.add(Entry(b"abs", "symlink", target=b"/lib/"))
    for path in (b"lib/a", b"up/b", b"abs/c"):
        spool.add(Entry(path, "fifo"), through_links=True)
    spool.link(b"lib/d", b"abs/a", through_links=True)
    assert {path for path in tree(spool) if path.startswith("usr/lib/")} == {
        f"usr/lib/{name}" for name in "abcd"
    }
    spool.add(Entry(b"loop", "symlink", target=b"loop/x"))
    with pytest.raises(BadInput, match="loop"):
        spool.add(Entry(b"loop/y", "fifo"), through_links=True)


def test_removing(spool: Spool) -> None:
    for path in (b"d/x/1", b"d/x/2", b"d/y", b"dx"):
        spool.add(Entry(path, "fifo"))
    spool.remove(b"d/x")
    spool.remove(b"nothing")
    assert tree(spool) == {"": "dir", "d": "dir", "d/y": "fifo", "dx": "fifo"}
    spool.add(Entry(b"d/z/k", "fifo"))
    spool.empty(b"d", keep=[b"d/z/k"])
    assert tree(spool) == {"": "dir", "d": "dir", "d/z": "dir", "d/z/k": "fifo", "dx": "fifo"}


def test_what_is_refused(spool: Spool) -> None:
    for path in (b"../x", b"/x", b"a//b"):
        with pytest.raises(BadInput):
            spool.add(Entry(path, "fifo"))
    with pytest.raises(BadInput):
        spool.link(b"a", b"missing")
    spool.add(Entry(b"d", "dir"))
    with pytest.raises(BadInput):
        spool.link(b"a", b"d")
