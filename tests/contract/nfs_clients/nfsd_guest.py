"""First process of a guest whose kernel serves NFS to itself: the server at one address, clients at two more.

SAID {"verb": ..., ...}       a line of JSON for each step, as nfs_guest.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = ["/usr/lib/bootsrv/agent", "/nfstest"]

from nfs_guest import FRIEND, SERVER, STRANGER, say, say_tree, say_writes  # noqa: E402

from images.agent.netroot import nfs  # noqa: E402
from images.agent.netroot.mounts import loop, modprobe, mount, unmount  # noqa: E402
from images.nfs import kernel, mounted  # noqa: E402
from images.nfs.export import Export  # noqa: E402

ROOT, WRITES = kernel.MOUNTS / "roots/id", kernel.MOUNTS / "writes/1"
AWAY = kernel.MOUNTS / "roots/away"  # not mounted
ADMIN, BY_HAND = Path("/srv/admin"), Path("/srv/by-hand")
LIBRARIES = "/nfsd/usr/lib/x86_64-linux-gnu:/nfsd/lib/x86_64-linux-gnu"
VERSIONS = ("4.2", "3")


def run(*words: str) -> None:
    env = {**os.environ, **({"LD_LIBRARY_PATH": LIBRARIES} if words[0].startswith("rpc") else {})}
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stdout.strip() or done.returncode}")


def asks_from(own: str) -> None:
    """Who connects to the server from now on has this address."""
    run(*f"busybox ip route replace local {SERVER} dev lo table local src {own}".split())


def attach(path: str, where: str, version: str, writable: bool = False) -> None:
    nfs.attach(nfs.Place(SERVER, 2049, 0, (version,)), path, FRIEND, Path(where), writable)


def furnish() -> None:
    """Addresses, the administrator's own export, a version's image and a place to write."""
    for own in (SERVER, FRIEND, STRANGER):
        run("busybox", "ip", "addr", "add", f"{own}/32", "dev", "lo")
    asks_from(FRIEND)
    os.umask(0o077)
    mounted.prepare(kernel.MOUNTS, "roots", "writes")
    mount(loop(Path("/nfstest/root.erofs"), True), ROOT, "erofs", 1)
    with open("/writes.img", "wb") as file:
        file.truncate(64 << 20)
    run("mke2fs", "-q", "-F", "-t", "ext4", "/writes.img")
    mount(loop(Path("/writes.img"), False), WRITES, "ext4")
    WRITES.chmod(0o700)
    os.umask(0o022)
    mount("admin", ADMIN, "tmpfs")
    (ADMIN / "file").write_text("the administrator's\n")
    mount("by-hand", BY_HAND, "tmpfs")
    AWAY.mkdir()
    rows = f"{ADMIN} {FRIEND}(ro,no_subtree_check,fsid=77)\n/srv/gone {FRIEND}(ro,no_subtree_check,fsid=79)\n"
    Path("/etc/exports").write_text(rows)


def serve() -> None:
    """As an administrator starts it. Grace is for clients of before: there were none."""
    for name in ("/var/lib/nfs/v4recovery", "/var/lib/nfs/rpc_pipefs", "/run/rpcbind", "/proc/fs/nfsd"):
        Path(name).mkdir(parents=True, exist_ok=True)
    for name in ("etab", "rmtab"):
        Path("/var/lib/nfs", name).touch()
    mount("nfsd", Path("/proc/fs/nfsd"), "nfsd")
    run("rpcbind", "-w")
    subprocess.run(["exportfs", "-a"])  # one of the administrator's exports is not there
    run("rpc.nfsd", "4")
    Path("/proc/fs/nfsd/v4_end_grace").write_text("Y\n")
    run("rpc.mountd")


def seen(path: str, version: str) -> list[str] | str:
    """Names there, or why not."""
    try:
        attach(path, "/b", version)
    except OSError as error:
        return str(error)
    try:
        return sorted(os.listdir("/b"))
    finally:
        unmount(Path("/b"))


def story() -> None:
    say("stopped", runs=kernel.runs())
    serve()
    say("up", runs=kernel.runs(), kernel=os.uname().release)
    run("exportfs", "-o", "ro,no_subtree_check,fsid=78", f"{FRIEND}:{BY_HAND}")
    server = kernel.KernelServer()
    exports = [
        Export(1, ROOT, "/roots/nasty@1", (FRIEND,)),
        Export(2, WRITES, "/writes/1", (FRIEND,), writable=True),
        Export(3, Path("/srv/nobody"), "/roots/other@1", ()),
        Export(4, AWAY, "/roots/away@1", (FRIEND,)),
    ]
    server.apply(exports)
    for version in VERSIONS:
        attach(server.path_of(exports[0]), "/a", version)
        say_tree(version)
        unmount(Path("/a"))
    asks_from(STRANGER)
    say("stranger", **{version: seen(str(ROOT), version) for version in VERSIONS})
    asks_from(FRIEND)
    say("away", **{version: seen(str(AWAY), version) for version in VERSIONS})
    attach(str(WRITES), "/w", "4.2", writable=True)
    say_writes()
    restarted()
    server.apply(exports[1:])
    say("withdrawn", **{version: seen(str(ROOT), version) for version in VERSIONS})
    server.apply(exports)
    say("again", names=seen(str(ROOT), "4.2"))
    unmount(Path("/w"))
    server.close()
    left = seen(str(ROOT), "4.2"), seen(str(ADMIN), "4.2"), seen(str(ADMIN), "3")
    say(
        "closed", root=left[0], admin=left[1:], by_hand=seen(str(BY_HAND), "4.2"),
        file=Path("/etc/exports").read_text(), drop_in=kernel.DROP_IN.exists(),
        threads=Path("/proc/fs/nfsd/threads").read_text(),
    )  # fmt: skip


def restarted() -> None:
    """All threads end and come back, under an open file of each version."""
    for version in VERSIONS:
        attach(str(ROOT), "/a", version)
        with open("/a/big", "rb") as held:
            before = held.read(1 << 16)
            run("rpc.nfsd", "0")
            run("rpc.nfsd", "4")
            Path("/proc/fs/nfsd/v4_end_grace").write_text("Y\n")
            Path("/proc/sys/vm/drop_caches").write_text("3")
            began = time.monotonic()
            held.seek(0)
            same = held.read(1 << 16) == before
        fresh = Path("/a/etc/hostname").read_bytes() == b"x\n"
        say("went on", version=version, same=same, fresh=fresh, seconds=round(time.monotonic() - began, 1))
        unmount(Path("/a"))


def main() -> None:
    os.environ["PATH"] = f"/nfsd/usr/sbin:/nfsd/sbin:{os.environ['PATH']}"
    os.symlink("/nfsd/usr/sbin/exportfs", "/usr/sbin/exportfs")
    try:
        modprobe(["loop", "erofs", "ext4", "nfsd", *nfs.MODULES])
        furnish()
        story()
        say("done")
    except BaseException as error:
        say("failed", error=f"{type(error).__name__}: {error}")
    subprocess.run(["busybox", "poweroff", "-f"], check=False)


main()
