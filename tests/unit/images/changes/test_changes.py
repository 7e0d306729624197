"""What `image diff` says, where the answer is known, and on the real formats of package databases."""

from __future__ import annotations

import io
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest
from imagestore import make

from images import reboots
from images.changes.entries import changes
from images.changes.packages import apk, dpkg, rpm
from images.changes.report import compare
from images.errors import BadInput, ImageNotFound
from images.manifest import Entry
from images.store import ImageStore

UNIT = b"[Service]\nExecStartPre=-/sbin/check\nExecStart=@/usr/sbin/sshd sshd -D\n[Install]\n"
STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-1
Description: shell
 with: a colon

Package: libc6
Status: hold ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Version: 1
"""


Files = dict[str, bytes | str | None]


def publish(store: ImageStore, files: Files, modes: dict[str, int] | None = None) -> None:
    """None: a directory. Text: a symlink. Bytes: a file."""
    with store.writer() as writer:
        writer.tree.add(Entry(b"", "dir", mode=0o755))
        for path, what in files.items():
            mode = (modes or {}).get(path, 0o755 if "bin/" in path else 0o644)
            if what is None:
                writer.tree.add(Entry(path.encode(), "dir", mode=0o755))
            elif isinstance(what, str):
                writer.tree.add(Entry(path.encode(), "symlink", target=what.encode()))
            else:
                chunks = writer.put_stream(io.BytesIO(what).read)
                writer.tree.add(Entry(path.encode(), "file", mode=mode, size=len(what), chunks=chunks))
        writer.publish("a")


WANTS = "etc/systemd/system/multi-user.target.wants/"


def test_a_report(tmp_path: Path) -> None:
    store = make(tmp_path)
    base: Files = {
        "etc/passwd": b"root",
        "etc/motd": b"hello",
        "usr/bin/tool": b"tool",
        "usr/sbin/sshd": b"old sshd",
        "usr/lib/systemd/system/ssh.service": UNIT,
        "usr/lib/systemd/system/cron.service": b"[Service]\nExecStart=/usr/sbin/cron -f\n",
        WANTS + "ssh.service": "/lib/systemd/system/ssh.service",
        WANTS + "cron.service": "/lib/systemd/system/cron.service",
        WANTS + "old.service": "/lib/systemd/system/old.service",
        "var/lib/dpkg/status": STATUS,
        "boot/vmlinuz-6.1.0-1": b"kernel one",
    }
    publish(store, base)
    new = dict(base)
    del new["etc/motd"], new["boot/vmlinuz-6.1.0-1"], new[WANTS + "old.service"]
    new |= {
        "usr/sbin/sshd": b"new sshd", "boot/vmlinuz-6.1.0-2": b"kernel two", "etc/new": b"x" * 5000,
        "var/lib/dpkg/status": STATUS.replace(b"5.2-1", b"5.2-2") + b"\nPackage: less\nVersion: 590\n",
        WANTS + "nginx.service": "/lib/systemd/system/nginx.service",
        "etc/systemd/system/apt.timer": "/dev/null",
    }  # fmt: skip
    publish(store, new, {"usr/bin/tool": 0o4755})
    found = compare(store, "a@1", "a@2")
    files = {one.name: (one.kind, one.aspects) for one in found.files}
    assert files["/etc/motd"] == ("removed", ()) and files["/etc/new"] == ("added", ())
    assert files["/usr/bin/tool"] == ("changed", ("mode",))
    assert files["/usr/sbin/sshd"] == ("changed", ("content",))
    assert found.packages == {"bash": ("5.2-1", "5.2-2"), "less": (None, "590")}
    assert found.services == {
        "ssh.service": "changed", "nginx.service": "enabled", "old.service": "disabled",
        "apt.timer": "masked",
    }  # fmt: skip
    assert found.kernel_changed and found.kernels == (("6.1.0-1",), ("6.1.0-2",))
    assert 5000 < found.bytes_new < 6000
    record = found.record()
    assert record["old"] == "a@1" and record["counts"]["added"] == 4 and record["kernel"]["changed"]
    same = compare(store, "a@2", "a")
    assert not (same.files or same.packages or same.services or same.kernel_changed or same.bytes_new)
    with pytest.raises(ImageNotFound):
        compare(store, "a@1", "a@9")


def test_services_whose_libraries_changed(tmp_path: Path) -> None:
    """A real program of this machine and what it loads, by links; a script by what interprets it."""
    program = Path("/usr/bin/openssl").read_bytes()
    base: Files = {
        "etc/passwd": b"root",
        "usr/sbin/daemon": program,
        "usr/sbin/script": b"#!/usr/bin/interpreter -u\nwork\n",
        "usr/bin/interpreter": "openssl",
        "usr/bin/openssl": program,
        "usr/sbin/static": b"no ELF file",
        "usr/lib/x86_64-linux-gnu/libcrypto.so.3": "libcrypto.so.3.0.1",
        "usr/lib/x86_64-linux-gnu/libcrypto.so.3.0.1": b"old",
        "usr/lib/x86_64-linux-gnu/libc.so.6": b"the C library",
        "usr/lib/systemd/system/multi-user.target.wants/script.service": "../script.service",
        WANTS + "daemon.service": "/lib/systemd/system/daemon.service",
        WANTS + "static.service": "/lib/systemd/system/static.service",
    }
    for name in ("daemon", "script", "static"):
        base[f"usr/lib/systemd/system/{name}.service"] = f"[Service]\nExecStart=/usr/sbin/{name}\n".encode()
    base["usr/lib/systemd/system/once.service"] = b"[Service]\nType=oneshot\nExecStart=/usr/sbin/daemon\n"
    base[WANTS + "once.service"] = "/lib/systemd/system/once.service"
    store = make(tmp_path)
    publish(store, base)
    new = {**base, "usr/lib/x86_64-linux-gnu/libcrypto.so.3": "libcrypto.so.3.0.2"}
    del new["usr/lib/x86_64-linux-gnu/libcrypto.so.3.0.1"]
    publish(store, {**new, "usr/lib/x86_64-linux-gnu/libcrypto.so.3.0.2": b"new"})
    found = compare(store, "a@1", "a@2")
    assert found.services == dict.fromkeys(("daemon.service", "once.service", "script.service"), "libraries")
    assert found.restart == ("daemon.service", "script.service") and found.reboot == ()
    publish(store, {**base, "usr/lib/x86_64-linux-gnu/libc.so.6": b"another"})
    assert compare(store, "a@1", "a@3").reboot == ("libc",)
    publish(store, {**base, "usr/share/text": b"more"})
    assert compare(store, "a@1", "a@4").services == {}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"boot/vmlinuz-6.1.0-30-amd64", ["kernel"]), (b"usr/lib/systemd/systemd", ["systemd"]),
        (b"usr/lib/x86_64-linux-gnu/libc.so.6", ["libc"]), (b"lib/ld-musl-x86_64.so.1", ["libc"]),
        (b"usr/bin/dbus-daemon", ["dbus"]), (b"usr/lib/systemd/systemd-journald", []), (b"usr/bin/ls", []),
        (b"boot/initrd.img-6.1.0-30-amd64", []), (b"srv/boot/vmlinuz", []),
    ],
)  # fmt: skip
def test_what_needs_a_reboot(path: bytes, why: list[str]) -> None:
    assert reboots.reasons([path, b"etc/motd"]) == why


def test_every_aspect() -> None:
    old = Entry(b"x", "file", mode=0o644, mtime_ns=1)
    variants = {
        "owner": old._replace(uid=1), "mode": old._replace(mode=0o600), "time": old._replace(mtime_ns=2),
        "xattrs": old._replace(xattrs={"user.a": b"1"}), "content": old._replace(size=9, extents=()),
    }  # fmt: skip
    for aspect, new in variants.items():
        (change,) = changes([old], [new])
        assert change.aspects == (aspect,)
    (change,) = changes([old], [Entry(b"x", "symlink", target=b"y")])
    assert change.aspects == ("type",)
    (change,) = changes([Entry(b"x", "hardlink", target=b"w")], [old])
    assert change.aspects == ("hard link",)
    named = [Entry(path, "dir") for path in (b"a", b"a/b", b"a-b")]
    assert not list(changes(named, named))
    assert [one.kind for one in changes(named[:2], named[1:])] == ["removed", "added"]


def test_dpkg_and_apk() -> None:
    assert dpkg(STATUS) == {"bash": "5.2-1", "libc6:amd64": "2.36-9"}
    text = b"C:x\nP:musl\nV:1.2.3-r4\nA:x86_64\n\nP:busybox\nV:1.36\n"
    assert apk(text) == {"musl": "1.2.3-r4", "busybox": "1.36"}


def test_dpkg_of_this_machine_agrees_with_dpkg_query() -> None:
    path = Path("/var/lib/dpkg/status")
    said = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = {tuple(line.split()[1:]) for line in said.stdout.splitlines() if line.startswith("installed ")}
    got = {(name.partition(":")[0], version) for name, version in dpkg(path.read_bytes()).items()}
    assert got == wanted and len(got) > 100


def header(**tags: str | int) -> bytes:
    """An rpm header as the database keeps it."""
    numbers = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "summary": 1004}
    index, data = b"", b""
    for key, value in tags.items():
        if isinstance(value, int):
            data += bytes(-len(data) % 4)
            index += struct.pack(">4I", numbers[key], 4, len(data), 1)
            data += struct.pack(">I", value)
        else:
            index += struct.pack(">4I", numbers[key], 6, len(data), 1)
            data += value.encode() + b"\0"
    return struct.pack(">2I", len(tags), len(data)) + index + data


def test_rpm(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "rpmdb.sqlite")
    db.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    rows = [
        header(name="bash", summary="x", version="5.2.26", release="3.fc40"),
        header(name="dbus", epoch=1, version="1.14", release="1.fc40"),
        header(name="kernel", version="6.8", release="1"), header(name="kernel", version="6.9", release="1"),
        header(name="gpg-pubkey", version="a", release="b"),
    ]  # fmt: skip
    db.executemany("INSERT INTO Packages (blob) VALUES (?)", [(row,) for row in rows])
    db.commit()
    db.close()
    data = (tmp_path / "rpmdb.sqlite").read_bytes()
    assert rpm(data) == {"bash": "5.2.26-3.fc40", "dbus": "1:1.14-1.fc40", "kernel": "6.8-1, 6.9-1"}
    for damaged in (data[:3000], b"x" * 9000, data.replace(b"bash", b"\0\0\0\xff")):
        try:
            rpm(damaged)
        except BadInput as err:
            assert "rpm database" in str(err)


