"""Killed at every step of a switch, forward and back: the machine works in between, and the next run
completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest
from imagestore import noise
from nastytree import snapshot
from pushhouse import House, comparable

from images.agent.run import CommandFailed
from images.agent.update import journal, settle, stage, state, unit
from images.agent.update import resume as resuming
from images.agent.update.folders import Folders
from images.agent.update.resume import resume

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def tree(top: Path, number: int) -> Path:
    """Two trees that differ in every way: content, kind, links, attributes, names."""
    for folder in ("etc", "usr/lib", "usr/bin", f"only{number}/deep"):
        (top / folder).mkdir(parents=True)
    (top / "usr/lib/lib.so.1").write_bytes(noise(70_000, number))
    (top / "usr/lib/lib.so").symlink_to("lib.so.1" if number == 1 else "./lib.so.1")
    (top / "usr/bin/tool").write_bytes(b"tool %d" % number)
    os.link(top / "usr/bin/tool", top / "usr/bin/tool-link")
    (top / f"only{number}/deep/file").write_bytes(b"x" * number)
    (top / "same").write_bytes(b"same")
    (top / "same").chmod(0o640 if number == 1 else 0o604)
    if number == 1:
        (top / "kind").mkdir()
        (top / "kind/inside").write_bytes(b"1")
        (top / "back").write_bytes(b"file")
    else:
        (top / "kind").write_bytes(b"file now")
        (top / "back").mkdir()
        (top / "back/inside").write_bytes(b"2")
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, ns=(0, number * 10**18 + len(str(path)) * 10**9), follow_symlinks=False)
    os.utime(top, ns=(0, 5))
    return top


class Killed(BaseException):
    """As good as SIGKILL: nothing but `finally` sees it."""


@contextmanager
def killed_at(number: int) -> Iterator[list[int]]:
    """Counts the calls that change the disk; the one with that number does not happen."""
    count = [0]
    with pytest.MonkeyPatch.context() as patch:

        def wrap(module: object, name: str) -> None:
            real: Callable[..., object] = getattr(module, name)

            def call(*arguments: object, **named: object) -> object:
                count[0] += 1
                if count[0] == number:
                    raise Killed
                return real(*arguments, **named)

            patch.setattr(module, name, call)

        for module, names in (
            (journal, ("exchange", "place", "adjust", "write_whole", "sync_filesystem")),
            (settle, ("write_whole",)), (state, ("sync_folder",)), (stage, ("sync_filesystem",)),
            (shutil, ("rmtree",)), (unit, ("remove",)), (Path, ("unlink", "replace")),
        ):  # fmt: skip
            for name in names:
                wrap(module, name)
        yield count


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, trees: tuple[Path, Path]) -> House:
    return House(tmp_path_factory.mktemp("first"), *trees)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("trees")
    return tree(folder / "one", 1), tree(folder / "two", 2)


def look(root: Path) -> dict[bytes, dict[str, object]]:
    return comparable(snapshot(root))


def steps_of(house: House, act: Callable[[], object]) -> int:
    with killed_at(0) as count:
        act()
    return count[0]


def works(house: House) -> None:
    """At any moment every program of the image is there, whole, old or new."""
    for name in ("usr/lib/lib.so.1", "usr/bin/tool", "usr/lib/lib.so", "same"):
        assert (house.root / name).exists()
    assert (house.root / "usr/bin/tool").read_bytes() in (b"tool 1", b"tool 2")
    assert (house.root / "usr/lib/lib.so.1").read_bytes() in (noise(70_000, 1), noise(70_000, 2))


def test_a_push_killed_at_every_step(tmp_path: Path, trees: tuple[Path, Path], first: House) -> None:
    counting = make(tmp_path, "count", first)
    total = steps_of(counting, counting.push)
    wanted = look(trees[1])
    assert total > 40 and look(counting.root) == wanted
    for number in range(1, total + 1):
        house = make(tmp_path, number, first)
        with killed_at(number), pytest.raises(Killed):
            house.push()
        works(house)
        house.push()
        assert look(house.root) == wanted, f"killed at {number} of {total}"
        assert not house.state.journal.exists() and not house.state.stage.exists()
        shutil.rmtree(house.root.parent)


def test_the_unit_alone_completes_what_was_begun(
    tmp_path: Path, trees: tuple[Path, Path], first: House
) -> None:
    house = make(tmp_path, "unit", first)
    total = steps_of(house, house.push)
    for number in range(total // 2 - 6, total // 2 + 6):
        house = make(tmp_path, number, first)
        with killed_at(number), pytest.raises(Killed):
            house.push()
        assert house.state.journal.exists()
        assert resume(house.root) == "settled"
        assert look(house.root) == look(trees[1])


def test_a_return_killed_at_every_step(tmp_path: Path, trees: tuple[Path, Path], first: House) -> None:
    def waiting(name: object) -> House:
        house = make(tmp_path, name, first)
        house.push(confirm=1)
        assert (
            house.state.journal.exists()
            and look(house.root)[b"usr/bin/tool"] == look(trees[1])[b"usr/bin/tool"]
        )
        return house

    def back(house: House) -> None:
        folders = Folders(house.root)
        try:
            settle.Settling(house.root, folders, house.state).back()
        finally:
            folders.close()

    counting = waiting("count")
    total = steps_of(counting, lambda: back(counting))
    assert total > 25 and look(counting.root) == look(trees[0])
    for number in range(1, total + 1):
        house = waiting(number)
        with killed_at(number), pytest.raises(Killed):
            back(house)
        works(house)
        if house.state.phase.exists() and house.state.phase.read_text() == "wait":
            back(house)  # killed before anything of it was written down
        else:
            resume(house.root)
        assert look(house.root) == look(trees[0]), f"killed at {number} of {total}"
        assert house.push()["drift"] == 0 and look(house.root) == look(trees[1])
        shutil.rmtree(house.root.parent)


def test_a_switch_that_fails_is_undone(tmp_path: Path, trees: tuple[Path, Path], first: House) -> None:
    house = make(tmp_path, "fails", first)
    calls = [0]
    real = journal.exchange

    def failing(*arguments: object) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise OSError(28, "No space left on device")
        real(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "exchange", failing)
        with pytest.raises(OSError, match="No space"):
            house.push()
    assert look(house.root) == look(trees[0])
    assert not house.state.journal.exists()


@pytest.mark.parametrize("by_unit", [False, True])
def test_a_version_that_cannot_be_completed_is_undone(
    tmp_path: Path, trees: tuple[Path, Path], first: House, by_unit: bool
) -> None:
    """Its initramfs cannot be made, say."""
    house = make(tmp_path, "incomplete", first)
    if by_unit:
        total = steps_of(house, house.push)
        house = make(tmp_path, "killed", first)
        with killed_at(total // 2), pytest.raises(Killed):
            house.push()
        assert house.state.journal.exists()

    def failing(root: Path) -> None:
        raise CommandFailed("update-initramfs failed with code 1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle.initrds, "complete", failing)
        with pytest.raises(CommandFailed):
            resume(house.root) if by_unit else house.push()
    assert look(house.root) == look(trees[0])
    assert not house.state.journal.exists()
    assert house.push()["drift"] == 0


def test_what_was_replaced_is_not_missed_once_it_begins_to_go(
    tmp_path: Path, trees: tuple[Path, Path], first: House
) -> None:
    """Its removal fails in the middle: there is no way back, and the next run ends it."""
    house = make(tmp_path, "settling", first)
    real, calls = shutil.rmtree, [0]

    def failing(path: Path) -> None:
        calls[0] += 1
        real(path)
        if house.state.journal.exists():
            raise OSError(39, "Directory not empty")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", failing)
        with pytest.raises(OSError, match="not empty"):
            house.push()
    assert calls[0] and look(house.root) == look(trees[1])
    assert resume(house.root) == "settled"
    assert look(house.root) == look(trees[1]) and not house.state.journal.exists()


def test_without_a_call_home_it_returns(tmp_path: Path, trees: tuple[Path, Path], first: House) -> None:
    house = make(tmp_path, "home", first)
    house.push(confirm=0.01)
    assert resume(house.root, every=0.05) == "returned"
    assert look(house.root) == look(trees[0])
    assert house.push()["drift"] == 0


class Home(BaseHTTPRequestHandler):
    """The server's side of a call home."""

    said: ClassVar[list[dict[str, list[str]]]] = []

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.said.append(parse_qs(self.rfile.read(length).decode()))
        self.send_response(200 if self.headers["Authorization"] == "Bearer t" else 401)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_machine_that_calls_home_is_confirmed(
    tmp_path: Path, trees: tuple[Path, Path], first: House
) -> None:
    house = make(tmp_path, "home", first)
    (house.root / "etc/bootsrv").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), Home) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        conf = house.root / "etc/bootsrv/home.conf"
        conf.write_text(f"url=http://127.0.0.1:{server.server_port}/home\ntoken=t\nimage=a@1\n")
        house.push(confirm=1)
        assert "image=a@2\n" in conf.read_text() and house.state.stage.exists()
        assert resume(house.root, every=0.05) == "confirmed"
        server.shutdown()
    assert Home.said[-1]["image"] == ["a@2"] and "returned" not in Home.said[-1]
    assert Home.said[-1]["confirmed"] == ["1"]
    assert not house.state.stage.exists() and resume(house.root) == "settled"
    assert (house.root / "usr/bin/tool").read_bytes() == b"tool 2"


def test_a_boot_that_does_not_come_to_its_end_is_not_healthy(
    tmp_path: Path, trees: tuple[Path, Path], first: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine was restarted into an emergency shell: the server answers, and still it returns."""
    house = make(tmp_path, "emergency", first)
    program = tmp_path / "bin/systemctl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = is-system-running ] && cat "$STATE"\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    monkeypatch.setattr(resuming, "BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setattr(resuming, "call_home", lambda root, **more: True)
    (tmp_path / "boot_id").write_text("another boot\n")
    (tmp_path / "state").write_text("maintenance\n")
    house.push(confirm=0.01)
    assert resume(house.root, every=0.05) == "returned" and look(house.root) == look(trees[0])
    (tmp_path / "state").write_text("degraded\n")
    house.push(confirm=0.01)
    assert resume(house.root, every=0.05) == "confirmed"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd reads its own units")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    path = tmp_path / unit.UNIT
    path.write_text(unit.TEXT.replace("ExecStart=/usr/bin/python3", "ExecStart=/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and unit.UNIT not in done.stderr, done.stderr
    assert unit.WANTS.startswith("/etc/systemd/system/sysinit.target.wants/")


def make(tmp_path: Path, name: object, first: House) -> House:
    """A machine that is the first tree."""
    folder = tmp_path / str(name)
    folder.mkdir()
    return first.beside(folder)
