"""First process of a guest with a real kernel's NFS client; the test reads what it says on the serial
console.

SAID {"verb": ..., ...}       a line of JSON for each step
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = ["/usr/lib/bootsrv/agent", "/nfstest"]

import nastytree  # noqa: E402

from images.agent.netroot import nfs  # noqa: E402
from images.agent.netroot.mounts import modprobe, unmount  # noqa: E402

SERVER, FRIEND, STRANGER = "10.99.0.1", "10.99.0.2", "10.99.0.3"
PLAIN = ("mode", "uid", "gid", "mtime", "target", "rdev", "size", "data", "same as")


def say(verb: str, **facts: object) -> None:
    with open("/dev/ttyS0", "w") as console:
        console.write(f"\nSAID {json.dumps({'verb': verb, **facts})}\n")


def address(own: str) -> None:
    subprocess.run(["busybox", "ip", "addr", "flush", "dev", "eth0"], check=True)
    subprocess.run(["busybox", "ip", "addr", "add", f"{own}/24", "dev", "eth0"], check=True)
    subprocess.run(["busybox", "ip", "link", "set", "eth0", "up"], check=True)


def attach(path: str, own: str, where: str, version: str, writable: bool = False) -> None:
    nfs.attach(nfs.Place(SERVER, 2049, 20048, (version,)), path, own, Path(where), writable)


def tree(version: str) -> None:
    attach("/roots/nasty@1", FRIEND, "/a", version)
    say_tree(version)
    unmount(Path("/a"))


def say_tree(version: str) -> None:
    """All names below /a."""
    seen = nastytree.snapshot(Path("/a"))
    rows = {
        name.decode("latin-1"): {
            **{key: value for key, value in row.items() if key in PLAIN},
            "links": os.lstat(os.path.join(b"/a", name)).st_nlink,
            "xattrs": sorted(row["xattrs"]),
        }
        for name, row in seen.items()
    }
    text = json.dumps(rows, default=lambda raw: raw.decode("latin-1"), sort_keys=True)
    say("tree", version=version, rows=json.loads(text))


def refused() -> None:
    address(STRANGER)
    time.sleep(1)
    for version in ("4.2", "3"):
        try:
            attach("/roots/nasty@1", STRANGER, "/b", version)
            say("refused", version=version, error="", names=os.listdir("/b"))
            unmount(Path("/b"))
        except OSError as error:
            say("refused", version=version, error=str(error))
    address(FRIEND)
    time.sleep(1)


def writes() -> None:
    attach("/writes/1", FRIEND, "/w", "4.2", writable=True)
    say_writes()


def say_writes() -> None:
    """A file that stays in /w, and what happens at its end."""
    with open("/w/new", "wb") as file:
        file.write(b"x" * 5_000_000)
        file.flush()
        os.fsync(file.fileno())
    os.rename("/w/new", "/w/kept")
    os.chown("/w/kept", 12, 34)
    os.chmod("/w/kept", 0o640)
    info = os.stat("/w/kept")
    say("writes", size=info.st_size, owner=[info.st_uid, info.st_gid], mode=oct(info.st_mode))
    error = ""
    try:
        with open("/w/full", "wb") as file:
            for _ in range(200):
                file.write(b"y" * (1 << 20))
    except OSError as problem:
        error = str(problem)
    os.unlink("/w/full")
    say("full", error=error, after=sorted(os.listdir("/w")))


def goes_on(version: str) -> None:
    """Reads and writes while the server is killed and comes back."""
    attach("/roots/nasty@1", FRIEND, "/a", version)
    held = os.open("/a/big", os.O_RDONLY)
    before = hashlib.sha256(os.pread(held, 1 << 20, 0)).hexdigest()
    kept = os.open("/w/kept", os.O_RDWR)
    say("ready", version=version)
    began, slowest, rounds = time.monotonic(), 0.0, 0
    while time.monotonic() - began < 12:
        start = time.monotonic()
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("3")
        same = hashlib.sha256(os.pread(held, 1 << 20, 0)).hexdigest() == before
        os.pwrite(kept, b"%d" % rounds, 100)
        os.fsync(kept)
        fresh = Path("/a/etc/hostname").read_bytes() == b"x\n"
        slowest, rounds = max(slowest, time.monotonic() - start), rounds + 1
        time.sleep(0.3)
        if not same or not fresh:
            say("went on", version=version, same=same, fresh=fresh)
            return
    os.close(held)
    os.close(kept)
    say("went on", version=version, same=True, fresh=True, slowest=round(slowest, 1), rounds=rounds)
    unmount(Path("/a"))


def main() -> None:
    modprobe(["virtio_pci", "virtio_net", *nfs.MODULES])
    for _ in range(100):
        if Path("/sys/class/net/eth0").exists():
            break
        time.sleep(0.1)
    try:
        address(FRIEND)
        say("up", kernel=os.uname().release)
        for version in ("4.2", "3"):
            tree(version)
        refused()
        writes()
        for version in ("4.2", "3"):
            goes_on(version)
        say("done")
    except BaseException as error:
        say("failed", error=f"{type(error).__name__}: {error}")
    subprocess.run(["busybox", "poweroff", "-f"], check=False)


if __name__ == "__main__":
    main()
