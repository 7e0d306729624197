"""A machine captured over HTTP is the same version as an import of its tree, and is sent only once."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nastytree
import pytest
from capturehouse import Running

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config
from bootsrv.registry.registry import Registry
from images.agent.capture import pace, packing, tree
from images.errors import BadInput, ImageError
from images.importing.from_directory import import_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture
def running(config: Config, registry: Registry) -> Iterator[Running]:
    made = Running(Appliance(config, registry))
    yield made
    made.close()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    root = tmp_path / "machine"
    root.mkdir()
    nastytree.build(root)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "boot").mkdir()
    (root / "boot/vmlinuz-6.1").write_bytes(random.Random(1).randbytes(3_000_000))
    return root


def token(running: Running, name: str = "golden", **more: Any) -> str:
    return running.house.captures.token(name, **more).text


def entries(running: Running, ref: str) -> list[Any]:
    return list(running.house.images.store().manifest(ref).entries())


def test_it_is_the_version_that_an_import_makes(running: Running, machine: Path, capsys: Any) -> None:
    assert running.capture(machine, token(running)) == 0
    assert capsys.readouterr().out == "golden@1\n"
    store = running.house.images.store()
    import_directory(store, "imported", machine)
    assert entries(running, "golden") == entries(running, "imported")
    version = store.resolve("golden")
    assert version.meta["kernels"] == ["6.1"] and version.meta["os_release"]["id"] == "debian"
    assert version.parent is None and not list(store.verify())
    assert [event.kind for event in running.house.watch.events(0, 500)] == ["capture.started", "capture.done"]


def test_a_second_capture_sends_what_changed_and_no_more(running: Running, machine: Path) -> None:
    running.capture(machine, token(running))
    first = running.house.images.resolve("golden")
    big = machine / "boot/vmlinuz-6.1"
    data = bytearray(big.read_bytes())
    data[1_000_000:1_000_000] = b"put in"  # moves all that follows
    data[2_500_000] ^= 1
    big.write_bytes(data)
    (machine / "etc/motd").write_text("hello\n")
    (machine / "moved").write_bytes((machine / "big").read_bytes())
    before = len(running.calls)
    running.capture(machine, token(running))
    second = running.house.images.resolve("golden")
    assert (second.number, second.parent) == (2, first.id)
    added = running.house.watch.events(0, 500)[-1].data["added"]
    assert 6 < added < 5 * 256 << 10, "the chunks around three places, nothing else"
    assert running.calls[before:].count("chunks") <= 2
    import_directory(running.house.images.store(), "imported", machine)
    assert [e._replace(chunks=()) for e in entries(running, "golden")] == [
        e._replace(chunks=()) for e in entries(running, "imported")
    ]


def test_what_an_older_image_has_is_not_sent(running: Running, machine: Path) -> None:
    import_directory(running.house.images.store(), "other", machine)
    running.capture(machine, token(running))
    assert running.house.watch.events(0, 500)[-1].data["added"] == 0


@pytest.mark.parametrize("call", ["begin", "have", "chunks", "stream", "publish"])
def test_a_broken_connection_repeats_its_last_call(running: Running, machine: Path, call: str) -> None:
    if call in ("have", "chunks"):  # in an empty store nothing is looked for
        other = machine.parent / "other"
        (other / "etc").mkdir(parents=True)
        (other / "etc/x").write_text("x")
        import_directory(running.house.images.store(), "other", other)
    running.cut_after = call
    assert running.capture(machine, token(running)) == 0
    assert running.cut_after is None and running.calls.count(call) >= 2, "it was broken"
    import_directory(running.house.images.store(), "imported", machine)
    assert entries(running, "golden") == entries(running, "imported")
    assert len(running.house.images.list("golden")) == 1, "published once, though it was asked twice"


def test_a_body_that_overtakes_the_one_before_it_waits(running: Running, machine: Path) -> None:
    (machine / "noise").write_bytes(random.Random(2).randbytes(20 << 20))
    running.late = {"0": 0.4, "2": 0.4}  # the second of two connections is faster
    assert running.capture(machine, token(running)) == 0
    import_directory(running.house.images.store(), "imported", machine)
    assert entries(running, "golden") == entries(running, "imported")


@pytest.mark.parametrize("zstd", [True, False])
def test_over_a_slow_way_it_is_packed(
    running: Running, machine: Path, zstd: bool, monkeypatch: Any, capsys: Any
) -> None:
    (machine / "text").write_bytes(b"the same again and again\n" * 800_000)
    monkeypatch.setattr(pace, "FAST", 1e18)
    if not zstd:
        monkeypatch.setattr(packing, "_library", lambda: None)
    assert running.capture(machine, token(running)) == 0
    assert running.taken < 8 << 20, "20 MB of text are next to nothing"
    import_directory(running.house.images.store(), "imported", machine)
    assert entries(running, "golden") == entries(running, "imported")


def test_a_server_that_was_restarted_is_begun_with_again(
    running: Running, machine: Path, monkeypatch: Any
) -> None:
    real, done = tree.Walk._name, []

    def name(self: Any, found: Any, base: Any) -> None:
        if found.entry.path == b"empty" and not done:
            done.append(running.forget())
        real(self, found, base)

    monkeypatch.setattr(tree.Walk, "_name", name)
    assert running.capture(machine, token(running)) == 0
    assert running.calls.count("begin") == 2
    import_directory(running.house.images.store(), "imported", machine)
    assert entries(running, "golden") == entries(running, "imported")


def test_a_file_that_changes_is_read_again_and_named_when_it_never_rests(
    running: Running, machine: Path, monkeypatch: Any, capsys: Any
) -> None:
    real, left = tree.hand_over, {"boot/vmlinuz-6.1": 1, "etc/hostname": 99}
    inodes = {(machine / name).stat().st_ino: name for name in left}

    def hand_over(data: Any, *rest: Any) -> None:
        real(data, *rest)
        name = inodes.get(os.fstat(data._fd).st_ino)
        if name and left[name]:
            left[name] -= 1
            with (machine / name).open("ab") as file:
                file.write(b"more\n")

    monkeypatch.setattr(tree, "hand_over", hand_over)
    assert running.capture(machine, token(running)) == 0
    said = capsys.readouterr().err
    assert "changed while it was read: /etc/hostname" in said and "vmlinuz" not in said
    version = running.house.images.resolve("golden")
    assert version.meta["warnings"] == ["/etc/hostname kept changing while it was read"]
    kernel = next(e for e in entries(running, "golden") if e.path == b"boot/vmlinuz-6.1")
    assert kernel.size == sum(chunk.length for chunk in kernel.chunks) == 3_000_005


def test_nothing_is_published_when_something_cannot_be_read(
    running: Running, machine: Path, monkeypatch: Any, capsys: Any
) -> None:
    real = os.preadv

    def preadv(fd: int, room: Any, offset: int) -> int:
        if os.fstat(fd).st_ino == (machine / "etc/hostname").stat().st_ino:
            raise OSError(5, "Input/output error")
        return real(fd, room, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    text = token(running)
    with pytest.raises(BadInput, match="1 names cannot be read, so nothing was published"):
        running.capture(machine, text)
    assert "cannot be read: /etc/hostname: Input/output error" in capsys.readouterr().err
    assert not running.house.images.list()
    assert running.house.watch.events(0, 500)[-1].kind == "capture.failed"
    assert running.capture(machine, text, "--allow-unreadable") == 0
    assert b"etc/hostname" not in {entry.path for entry in entries(running, "golden")}


def test_patterns_that_left_out_nothing_are_named(running: Running, machine: Path, capsys: Any) -> None:
    """Of what was given for this capture: not of our own list, and not of the image's."""
    (machine / "srv/logs").mkdir(parents=True)
    (machine / "srv/logs/x").touch()
    words = [("/srv/log", "/opt/*"), ("files:/srv/logs", "files:*/logs/x"), ("/proc/*",)]
    given = [word for pattern in (one for some in words for one in some) for word in ("--exclude", pattern)]
    running.capture(machine, token(running), *given)
    line = "nothing was left out by '/srv/log', '/opt/*', 'files:/srv/logs': no name matches"
    assert running.house.images.resolve("golden").meta["warnings"] == [line]
    assert f"bootsrv: warning: {line}\n" in capsys.readouterr().err
    running.capture(machine, token(running))
    assert "warnings" not in running.house.images.resolve("golden").meta


def test_what_is_left_out_and_the_lists_stay_with_the_image(running: Running, machine: Path) -> None:
    own = ("etc/machine-id", "etc/ssh/ssh_host_rsa_key", "var/log/apt/history.log", "swapfile")
    for name in (*own, "srv/x"):
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text("one machine's own")
    text = token(running)
    running.capture(machine, text, "--exclude", "/srv/*", "--exclude-update", "/opt/local/*")
    paths = {entry.path for entry in entries(running, "golden")}
    assert not paths & {name.encode() for name in own}
    assert {b"var/log/apt", b"srv", b"etc/ssh", b"etc/hostname"} <= paths and b"srv/x" not in paths
    meta = running.house.images.resolve("golden").meta
    assert "/srv/*" in meta["capture_excludes"] and meta["update_excludes"] == ["/opt/local/*"]
    running.capture(machine, token(running), "--include", "/swapfile")
    paths = {entry.path for entry in entries(running, "golden")}
    assert b"swapfile" in paths and b"srv/x" not in paths, "the image's own list is the next one's default"


def test_tokens(running: Running, machine: Path) -> None:
    text = token(running)
    with pytest.raises(ImageError, match="this token is for an image named golden, not 'silver'"):
        running.capture(machine, text, "--name", "silver")
    assert running.capture(machine, text, "--name", "golden") == 0
    with pytest.raises(ImageError, match="this token was used already: it made golden@1"):
        running.capture(machine, text)
    with pytest.raises(ImageError, match="unknown or expired token"):
        running.capture(machine, "guessed")
    other = running.house.registry.tokens.issue("boot", "52:54:00:00:00:01", 0, 1e12)
    with pytest.raises(ImageError, match="this token is for something else"):
        running.capture(machine, other)
    late = running.house.captures.token("golden")
    running.uploads._clock = lambda: late.expires + 1
    with pytest.raises(ImageError, match="unknown or expired token"):
        running.capture(machine, late.text)
