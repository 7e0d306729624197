"""A command in a private root becomes a version; a failed or broken one leaves no trace anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from imagestore import make
from nastytree import build, snapshot

from images.editing.edit import edit_image
from images.errors import ImageError
from images.exporting.to_directory import export_directory
from images.importing.from_directory import import_directory
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a private root needs root")
BUSYBOX = shutil.which("busybox") or "/bin/busybox"


def said(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """A nasty tree with a shell in it."""
    root = tmp_path / "root"
    root.mkdir()
    build(root)
    for folder in ("bin", "usr/sbin", "proc"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for word in said("ldd", BUSYBOX):
        if word.startswith("/"):
            target = root / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)
    for name in said(BUSYBOX, "--list"):
        if not (root / "bin" / name).exists():
            (root / "bin" / name).symlink_to("busybox")
    (root / "outside").symlink_to(tmp_path)  # a trap: the host's own directory, seen from the host
    (root / "etc/resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")
    made = make(tmp_path)
    import_directory(made, "a", root, "the first", {"kernel_args": "quiet"}, excludes=())
    (tmp_path / "work").mkdir()
    return made


FAILING = [
    (["false"], "false ended with 1;"),
    (["sh", "-c", "rm -r /etc; exit 3"], "sh ended with 3;"),
    (["/no/such"], "/no/such ended with 127;"),
    (["sh", "-c", "kill -9 $$"], "sh was ended by SIGKILL;"),
]


def clean(tmp_path: Path) -> None:
    assert not list((tmp_path / "work").iterdir())
    assert str(tmp_path / "work") not in Path("/proc/self/mounts").read_text()


def edit(store: ImageStore, tmp_path: Path, *command: str, ref: str = "a", comment: str = ""):  # type: ignore[no-untyped-def]
    return edit_image(store, ref, command, comment, folder=tmp_path / "work")


def test_what_the_command_did_and_nothing_else(store: ImageStore, tmp_path: Path) -> None:
    script = "echo patched > /etc/motd; chmod 600 /etc/motd; rm /big; touch /outside/x || true"
    made = edit(store, tmp_path, "sh", "-c", script)
    assert made is None or made.number == 2
    version = store.resolve("a")
    assert version.parent == store.resolve("a@1").id and version.meta["kernel_args"] == "quiet"
    assert version.comment.startswith("edited a@1 with sh")
    export_directory(store, "a@2", tmp_path / "out")
    got, wanted = snapshot(tmp_path / "out"), snapshot(tmp_path / "root")
    assert got.pop(b"etc/motd")["mode"] == "0o100600"
    assert wanted.pop(b"big") and got.pop(b"etc") != wanted.pop(b"etc")
    for tree in (got, wanted):
        tree.pop(b"")  # its time: a name was taken away
        for row in tree.values():
            row.pop("same as", None)
    assert got == wanted, "times of /usr/sbin and of mount points as they were"
    assert not (tmp_path / "x").exists(), "a link of the image does not lead out"
    clean(tmp_path)


def test_nothing_done_is_no_version(store: ImageStore, tmp_path: Path) -> None:
    assert edit(store, tmp_path, "true") is None
    assert [one.number for one in store.versions("a")] == [1]
    clean(tmp_path)


def test_the_room(store: ImageStore, tmp_path: Path) -> None:
    script = (
        "set -e; hostname > /etc/seen; ls /dev >> /etc/seen; echo > /dev/null;"
        "head -c 9 /dev/urandom | wc -c;"
        "cat /proc/1/comm >> /etc/seen; mount | wc -l; touch /tmp/x /run/y; test -e /etc/resolv.conf;"
        "/usr/sbin/policy-rc.d && exit 7; test $? = 101; (sleep 1000 & ) ; test ! -e /dev/sda"
    )
    assert edit(store, tmp_path, "sh", "-c", script)
    export_directory(store, "a", tmp_path / "out")
    seen = (tmp_path / "out/etc/seen").read_text().split()
    assert seen[0] == "a" and {"null", "pts", "shm"} <= set(seen)
    for path in ("tmp", "run", "sys", "usr/sbin/policy-rc.d"):
        assert not (tmp_path / "out" / path).exists(), "nothing of the room stays"
    devices = sorted(path.name for path in (tmp_path / "out/dev").iterdir())
    assert devices == ["block", "fifo", "null", "socket"]
    clean(tmp_path)


@pytest.mark.parametrize(("command", "how"), FAILING)
def test_a_failed_command_publishes_nothing(
    store: ImageStore, tmp_path: Path, command: list[str], how: str
) -> None:
    with pytest.raises(ImageError, match=f"^{how} nothing was published$"):
        edit(store, tmp_path, *command)
    assert [one.number for one in store.versions("a")] == [1]
    clean(tmp_path)


def test_an_older_version_as_parent(store: ImageStore, tmp_path: Path) -> None:
    edit(store, tmp_path, "touch", "/etc/two")
    made = edit(store, tmp_path, "touch", "/etc/three", ref="a@1", comment="back to the first")
    assert made.number == 3 and made.parent == store.resolve("a@1").id and made.comment == "back to the first"
    names = {entry.path for entry in store.manifest("a@3").entries()}
    assert b"etc/three" in names and b"etc/two" not in names


def test_interrupted_it_leaves_no_mounts_and_no_processes(store: ImageStore, tmp_path: Path) -> None:
    nap = f"4321.{os.getpid()}"
    code = (
        "from pathlib import Path; from images.store import ImageStore; from images.editing.edit import *\n"
        f"edit_image(ImageStore.open(Path({str(store.root)!r})), 'a', ['sh', '-c', 'echo up; sleep {nap}'],"
        f" folder=Path({str(tmp_path / 'work')!r}))"
    )
    for how in (signal.SIGINT, signal.SIGKILL):
        # A shell's background job ignores Ctrl-C, and so would all that it starts.
        words, quiet = ["env", "--default-signal=INT", sys.executable, "-c", code], subprocess.DEVNULL
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=quiet)
        try:
            assert child.stdout is not None and child.stdout.readline() == b"up\n"
            child.send_signal(how)
            child.stdout.close()
            child.wait(60)
        finally:
            child.kill()
            child.wait()
        deadline = time.monotonic() + 30
        while nap.encode() in b"".join(_commands()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert nap.encode() not in b"".join(_commands())
        assert str(tmp_path / "work") not in Path("/proc/self/mounts").read_text()
        assert [one.number for one in store.versions("a")] == [1]
        if how == signal.SIGINT:
            clean(tmp_path)


def _commands() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0] == b"sleep" or words[0].endswith(b"/sleep"):
            found.append(b" ".join(words))
    return found
