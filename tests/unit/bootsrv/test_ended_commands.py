"""A command that is asked to end leaves nothing, as with Ctrl-C; what kill -9 leaves goes with the next."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="private roots need root")
BOOTSRV = [sys.executable, "-m", "bootsrv.cli.main"]
REPOSITORY, SHARED = Path(__file__).parents[3], Path("/var/tmp")
HERE = REPOSITORY.relative_to(SHARED) if REPOSITORY.is_relative_to(SHARED) else None  # it must stay in sight
# Its own /var/tmp, with this checkout where that lies below it.
OWN = 'test -z "$2" || mount --bind "$2" "$1/$3"; mount --rbind "$1" /var/tmp; shift 3; exec "$@"'
# As mmdebstrap does: a mount below TMPDIR, helpers, and SIGTERM only noted.
BUILDER = """#!/bin/sh
trap 'echo later' TERM
mkdir $TMPDIR/mmdebstrap.x && mount -t tmpfs none $TMPDIR/mmdebstrap.x || exit 1
test -e FOLDER/fail && exit 3
sh -c 'trap "" TERM; echo > FOLDER/up; while :; do sleep 0.1; done; : MARK' &
while :; do sleep 0.1; done; : MARK
"""
ASKED = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]


class Place:
    """A configuration, and a private /var/tmp, which edits use."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.mark = f"mark-{os.getpid()}-{home.name}"
        self.work = home / "work"
        (home / "bin").mkdir()
        self.work.mkdir()
        (home / "bootsrv.toml").write_text(
            f'data_dir = "{home}/data"\n[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "authoritative"\n'
        )
        builder = home / "bin/mmdebstrap"
        builder.write_text(BUILDER.replace("FOLDER", str(home)).replace("MARK", self.mark))
        builder.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        inside = ["unshare", "--mount", "env", "--default-signal=INT,HUP", "sh", "-c"]
        inside += [f"set -e; {OWN}", "sh", str(self.work), *self.sight(), *BOOTSRV, *words]
        environment = {
            **os.environ,
            "BOOTSRV_CONFIG": str(self.home / "bootsrv.toml"),
            "TMPDIR": str(self.work),
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
        }
        return subprocess.Popen(
            inside, env=environment, stdin=subprocess.DEVNULL,
            stdout=(self.home / "out").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip

    def sight(self) -> tuple[str, str]:
        """The checkout, and where below our /var/tmp it is seen; nothing where it lies elsewhere."""
        if HERE is None:
            return "", ""
        (self.work / str(HERE)).mkdir(parents=True, exist_ok=True)
        return str(REPOSITORY), str(HERE)

    def run(self, *words: str) -> int:
        return self.start(*words).wait(60)

    def up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while not (self.home / "up").exists():
            assert process.poll() is None and time.monotonic() < deadline, (self.home / "out").read_text()
            time.sleep(0.02)
        (self.home / "up").unlink()

    def running(self) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if self.mark in line or str(self.home / "bin/mmdebstrap") in line:
                found.append(line)
        return found

    def left(self) -> list[Path]:
        assert str(self.home) not in Path("/proc/self/mounts").read_text(), "the host never sees its mounts"
        return [path for path in self.work.iterdir() if HERE is None or path.name != HERE.parts[0]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    (tmp_path / "fail").write_text("")
    assert not made.running()


def building(place: Place) -> subprocess.Popen[bytes]:
    process = place.start("image", "import", "a", "--recipe", "debian-12-vm")
    place.up(process)
    return process


@pytest.fixture
def imported(place: Place) -> Place:
    tree = place.home / "tree"
    for folder in ("bin", "proc", "etc"):
        (tree / folder).mkdir(parents=True)
    busybox = shutil.which("busybox") or "/bin/busybox"
    needed = subprocess.run(["ldd", busybox], capture_output=True, text=True).stdout.split()
    for word in [busybox, *(one for one in needed if one.startswith("/"))]:
        target = tree / word.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(word, target)
    shutil.copy(busybox, tree / "bin/sh")
    assert place.run("image", "import", "a", str(tree)) == 0, (place.home / "out").read_text()
    return place


def editing(place: Place) -> subprocess.Popen[bytes]:
    """A command that writes as fast as it can: what is removed under its feet comes back."""
    script = f"n=0; while :; do n=$((n+1)); echo > /etc/$n; : {place.mark}; done"
    process = place.start("image", "edit", "a", "--", "sh", "-c", script)
    deadline = time.monotonic() + 60
    while not list(place.work.glob("bootsrv-edit-*/root/etc/1")):
        assert process.poll() is None and time.monotonic() < deadline, (place.home / "out").read_text()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(("how", "code"), ASKED)
def test_a_build(place: Place, how: signal.Signals, code: int) -> None:
    process = building(place)
    process.send_signal(how)
    assert process.wait(30) == code
    told = (place.home / "out").read_text()
    assert told.endswith("bootsrv: interrupted: nothing was published\n") is (code == 130), told
    assert not place.running() and not place.left()


@pytest.mark.parametrize(("how", "code"), ASKED)
def test_an_edit(imported: Place, how: signal.Signals, code: int) -> None:
    process = editing(imported)
    process.send_signal(how)
    assert process.wait(30) == code, (imported.home / "out").read_text()
    told = (imported.home / "out").read_text()
    assert told.endswith("bootsrv: interrupted: nothing was published\n") is (code == 130), told
    assert not imported.running() and not imported.left()


@pytest.mark.parametrize("what", ["build", "edit"])
def test_killed(imported: Place, what: str) -> None:
    place = imported
    process = building(place) if what == "build" else editing(place)
    process.kill()
    process.wait(30)
    deadline = time.monotonic() + 30
    while place.running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not place.running() and len(place.left()) == 1
    (place.home / "fail").write_text("")
    again = {"build": ("import", "a", "--recipe", "debian-12-vm"), "edit": ("edit", "a", "--", "/no/such")}
    assert place.run("image", *again[what]) == 1
    assert not place.left()


def test_asked_twice_it_still_clears_away(imported: Place) -> None:
    process = editing(imported)
    for _ in range(50):
        process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert not imported.left()
