"""Importing a living directory: what is left out, what changes meanwhile, what is mounted below."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from imagestore import contents, make

from images import chunker
from images.errors import BadInput
from images.importing import from_directory, steady, walking
from images.importing.from_directory import import_directory
from images.manifest import Entry
from images.store import ImageStore
from images.tree_reader import EXCLUDES, DataReader, read_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for name in ("etc", "proc/1", "tmp", "var/log"):
        (made / name).mkdir(parents=True)
    (made / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nodd:x:4711:4711::/:/bin/sh\nbad line\n")
    (made / "etc/group").write_text("root:x:0:\nwheel:x:4711:\n")
    (made / "proc/1/status").write_text("x")
    (made / "tmp/x").write_text("x")
    (made / "var/log/a.log").write_text("x")
    return made


def test_excludes(tmp_path: Path, root: Path) -> None:
    store = make(tmp_path)
    import_directory(store, "a", root)
    paths = {entry.path for entry in store.manifest("a").entries()}
    assert b"proc" in paths and b"tmp" in paths and not {b"proc/1", b"tmp/x"} & paths
    assert b"var/log/a.log" in paths
    import_directory(store, "a", root, excludes=("/var/log/*.log", "/proc"))
    paths = {entry.path for entry in store.manifest("a").entries()}
    assert b"var/log" in paths and b"tmp/x" in paths and not {b"proc", b"proc/1", b"var/log/a.log"} & paths


def test_a_store_inside_its_source(root: Path) -> None:
    store = make(root / "var")
    for number in (1, 2):
        import_directory(store, "a", root)
        paths = [entry.path for entry in store.manifest(f"a@{number}").entries()]
        assert b"var/log/a.log" in paths and not any(path.startswith(b"var/store") for path in paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_names_of_owners_are_the_trees_own(tmp_path: Path, root: Path) -> None:
    os.chown(root / "tmp", 4711, 4711)
    entry = next(found.entry for found in read_tree(root) if found.entry.path == b"tmp")
    assert (entry.user, entry.group) == ("odd", "wheel")


def test_not_a_root(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(BadInput, match="no /etc"):
        import_directory(make(tmp_path), "a", tmp_path / "x")
    with pytest.raises(BadInput, match="no directory"):
        import_directory(make(tmp_path), "a", tmp_path / "missing")


class Changing(DataReader):
    """Changes the file under the reader, a number of times."""

    times = 0
    path = Path()
    new = b""

    def read99(self) -> bytes:
        return self.read(99)

    def read(self, size: int) -> bytes:
        data = super().read(size)
        if data and Changing.times:
            Changing.times -= 1
            Changing.path.write_bytes(Changing.new)
            os.utime(Changing.path, ns=(Changing.times, Changing.times))
        return data


def watch(monkeypatch: pytest.MonkeyPatch, module: object, name: str, times: int) -> None:
    """The file changes that often from when that function is called for it."""
    real = getattr(module, name)

    def reads(*args):  # type: ignore[no-untyped-def]
        entry = next(each for each in args if isinstance(each, Entry))
        Changing.times = times if entry.path == b"var/log/a.log" else 0
        return real(*args)

    monkeypatch.setattr(module, name, reads)


# Read by the walk; held as a whole; not held; and what becomes the next while it is read.
@pytest.mark.parametrize("limits", [(1000, 1000), (2, 1000), (2, 2), (10, 1000), (2, 10), (10, 10)])
@pytest.mark.parametrize("new", [b"longer than it was before", b"", b"sam"])
@pytest.mark.parametrize("times", [1, 2, 99])
def test_a_file_that_changes(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, new: bytes, times: int,
    limits: tuple[int, int],
) -> None:  # fmt: skip
    log = root / "var/log/a.log"
    log.write_bytes(b"old")
    monkeypatch.setattr(from_directory, "DataReader", Changing)
    monkeypatch.setattr(steady, "_data", lambda fd, entry: b"".join(iter(Changing(fd, entry).read99, b"")))
    Changing.path, Changing.new, Changing.times = log, new, 0
    store = make(tmp_path)

    def walk(source: Path, excludes: Iterable[str], whole: int, *more: object) -> Iterator[walking.Batch]:
        return walking.batches(os.fsencode(source), excludes, whole)  # in this process, where it is watched

    monkeypatch.setattr(from_directory, "walk", walk)
    monkeypatch.setattr(chunker, "WHOLE", limits[0])
    monkeypatch.setattr(from_directory, "LARGE", limits[1])
    watch(monkeypatch, walking, "read_whole", times)
    watch(monkeypatch, from_directory, "read_whole", times)
    watch(monkeypatch, from_directory, "_large", times)
    version = import_directory(store, "a", root)
    got = contents(store, "a")["var/log/a.log"]
    warned = any("kept changing" in text for text in version.meta["warnings"])
    if times < 3 or not new:  # an emptied file stops changing under this reader
        assert got == new and not warned
    else:
        assert got in (b"old", new, new[:3]) and warned


def test_a_file_system_that_gives_less_than_it_is_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As FUSE and network file systems may: the file is read on, not cut off."""
    data, real = bytes(range(256)) * 9, os.pread
    (root / "etc/data").write_bytes(data)
    monkeypatch.setattr(steady.os, "pread", lambda fd, size, offset: real(fd, min(size, 100), offset))
    for found in read_tree(root):
        if found.entry.path == b"etc/data":
            assert found.fd is not None
            assert steady.read_whole(found.entry, found.fd, 1 << 16) == (found.entry, data, True)
            break
    else:
        raise AssertionError("not found")


def test_patterns_that_left_out_nothing_are_named(tmp_path: Path) -> None:
    """Of what was asked for: our own may match nothing, and so may the place of the store."""
    tree = tmp_path / "tree"
    for name in ("etc/x", "srv/a/x", "srv/b", "tmp/x", "gr\udcfcn/x"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name[:2])
    store = ImageStore.open(tree / "store")
    given = ("/srv/a", "/srv/a/x", "/srv/c", "/tmp/x", "/gr\udcfcn", "/gr\udcfcm")
    version = import_directory(store, "a", tree, excludes=(*EXCLUDES, *given))
    paths = {entry.path for entry in store.manifest("a").entries()}
    assert paths == {b"", b"etc", b"etc/x", b"srv", b"srv/b", b"tmp"}
    usual, line = (one for one in version.meta["warnings"] if "kernel" not in one)
    assert usual.startswith("1 name was left out by default") and "them: /tmp/* (1); --all" in usual
    assert line == r"nothing was left out by '/srv/a/x', '/srv/c', '/gr\udcfcm': no name matches"
    again = import_directory(store, "a", tree, excludes=(*EXCLUDES, "/srv/a"))
    assert not [one for one in again.meta["warnings"] if "nothing was left out" in one]
