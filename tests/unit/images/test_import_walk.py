"""The walk that an import has another process do: all comes over, also what goes wrong, and nothing stays."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from imagestore import contents, make

from images.errors import ImageError
from images.importing import from_directory, walked, walking
from images.importing.from_directory import import_directory
from images.patterns import Idle, Tally
from images.session import PackStream
from images.store import ImageStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """More middling files than descriptors go in one batch, between small ones and hard links."""
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    for number in range(2 * walking.FDS + 5):
        (made / f"m{number}").write_bytes(b"%d" % number * 40_000)
        (made / f"n{number}").write_bytes(b"small %d" % number)
        (made / f"o{number}").write_bytes(b"")
    for number in range(0, 90, 3):
        (made / f"z{number}").hardlink_to(made / f"m{number}")
        (made / f"a{number}").hardlink_to(made / f"n{number}")
    return made


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    gc.collect()  # what earlier tests left open goes now, not in the middle
    before = _open(), _children()
    yield
    assert (_open(), _children()) == before


def _open() -> int:
    return len(os.listdir("/proc/self/fd"))


def _children() -> list[str]:
    tasks = Path("/proc/self/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def test_what_comes_over(tmp_path: Path, root: Path) -> None:
    store = make(tmp_path)
    import_directory(store, "a", root)
    got = contents(store, "a")
    links = {entry.path: entry.target for entry in store.manifest("a").entries() if entry.type == "hardlink"}
    got |= {name.decode(): got[target.decode()] for name, target in links.items()}
    assert got == {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    assert links[b"z0"] == b"m0" and links[b"n0"] == b"a0" and len(links) == 60


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM")])
def test_a_walk_that_dies(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str, after: int
) -> None:
    store = make(tmp_path)
    taken = 0
    real = walked._take

    def take(way, source, process):  # type: ignore[no-untyped-def]
        nonlocal taken
        if taken == after:
            os.kill(process.pid, number)
            process.wait()
        taken += 1
        return real(way, source, process)

    monkeypatch.setattr(walked, "_take", take)
    monkeypatch.setattr(walked.socket, "socketpair", _narrow)
    with pytest.raises(ImageError, match=f"the process that reads ended with {said}"):
        import_directory(store, "a", root)
    assert store.names() == []


def _narrow() -> tuple[socket.socket, socket.socket]:
    """So that not all of a small tree fits into what waits between the two."""
    pair = _pair()
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return pair


_pair = socket.socketpair


def test_an_import_that_is_stopped(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(Exception):
        pass

    def progress(done: int, total: int | None, what: str, /) -> None:
        raise Enough

    monkeypatch.setattr(walked.socket, "socketpair", _narrow)
    before = set(threading.enumerate()), _open(), _children()
    with pytest.raises(Enough) as caught:
        import_directory(make(tmp_path), "a", root, progress=progress)
    assert (set(threading.enumerate()), _open(), _children()) == before, "while the error is held"
    assert caught.tb


def test_names_without_data_are_not_held_all_at_once(root: Path) -> None:
    """Each takes room, though none has data."""
    for name in [path for path in root.iterdir() if path.is_file()]:
        name.write_bytes(b"")
    batches = walking.batches(os.fsencode(root), (), 65536)
    found = list(from_directory._read(batches, threading.Event()))
    assert sum(item.weight() for item in found) > 100 * len(list(root.iterdir()))


def test_one_new_file_does_not_keep_its_batch(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame may gather new files from thousands of batches: what it waits with is theirs alone."""
    taken: list[object] = []
    monkeypatch.setattr(PackStream, "add", lambda self, id, data: taken.append(data))
    with suppress(ImageError):  # nothing was stored
        import_directory(make(tmp_path), "a", root)
    small = [data for data in taken if len(data) < 100]  # type: ignore[arg-type]
    assert len(small) > 100 and {type(data) for data in small} == {bytes}


@pytest.mark.parametrize("before", [0, 3])
def test_an_error_of_the_walk(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    def broken() -> Iterator[walking.Batch]:
        made = walking.batches(os.fsencode(root), (), 65536)
        yield from (next(made) for _ in range(before))
        made.close()
        raise OSError(errno.EIO, "Input/output error", b"bad\xff")

    _instead(monkeypatch, lambda way: walking._walk(way, broken(), Idle(()), Tally(())))
    with pytest.raises(OSError, match="Input/output error") as caught:
        import_directory(make(tmp_path), "a", root)
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, b"bad\xff")
    assert ImageStore.open(tmp_path / "store").names() == []


def _instead(monkeypatch: pytest.MonkeyPatch, work: Callable[[socket.socket], None]) -> None:
    """The other end of the socket is a thread of this process."""

    class Process:
        def __init__(self, words: list[str], pass_fds: list[int], **other: object) -> None:
            way = socket.socket(fileno=os.dup(pass_fds[0]))

            def run() -> None:
                with way:
                    work(way)

            self._thread = threading.Thread(target=run)
            self._thread.start()

        def kill(self) -> None:
            pass

        def wait(self) -> int:
            self._thread.join()
            return 0

    monkeypatch.setattr(walked.subprocess, "Popen", Process)
