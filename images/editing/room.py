"""The private root that a command runs in: its own mounts, processes and host name; the host's network.

Run as its own process, as process 1 of new namespaces (edit.py), with a JSON file and the root's path, by its
path; standard library only. Law: nothing outside the root is reachable by a link of the image, because the
process is inside before it touches any name; nothing that it mounts outlives it; what it puts into the tree
for the time of the command (mount points, a policy-rc.d that starts no daemon) is gone afterwards, to the
last time stamp.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

NOSUID, NODEV, NOEXEC, READONLY, BIND, PRIVATE = 2, 4, 8, 1, 4096, 1 << 18 | 16384
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
NO_DAEMONS = b"#!/bin/sh\nexit 101\n"  # "action forbidden by policy" (invoke-rc.d)
RESOLVER, POLICY = Path("/etc/resolv.conf"), Path("/usr/sbin/policy-rc.d")
BY_SIGNAL = 128  # an exit status above it: killed by the signal of that number more
SHELLS = ("/bin/bash", "/bin/sh")
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    words = [word.encode() if word else None for word in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


@contextmanager
def placed(path: Path, content: bytes | None, mode: int) -> Iterator[None]:
    """A file (or with content None a directory) that is there meanwhile, unless there is one already.

    Its directory gets its old time back, unless the command changed that directory too.
    """
    if path.is_symlink() or path.exists():
        yield
        return
    before = path.parent.stat().st_mtime_ns
    if content is None:
        path.mkdir(mode)
    else:
        path.write_bytes(content)
        path.chmod(mode)
    made = path.parent.stat().st_mtime_ns
    yield
    untouched = path.parent.stat().st_mtime_ns == made
    if content is None:
        path.rmdir()
    elif path.read_bytes() == content:
        path.unlink()
    if untouched:
        os.utime(path.parent, ns=(before, before))


def main(arguments: list[str]) -> int:
    """`SPEC.json ROOT`; exit status is the command's."""
    spec = json.loads(Path(arguments[0]).read_text("utf-8"))
    devices = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES if Path("/dev", name).exists()}
    resolver = RESOLVER.read_bytes() if RESOLVER.exists() else b""
    mount("", "/", "", PRIVATE)  # nothing travels back to the host
    os.chroot(arguments[1])
    os.chdir("/")
    socket.sethostname(spec["host"])
    with ExitStack() as stack:
        for folder in ("/proc", "/sys", "/dev", "/run", "/tmp"):  # noqa: S108 - the image's own
            stack.enter_context(placed(Path(folder), None, 0o755))
            stack.callback(unmount, folder)
        _mounts(devices)
        _resolver(stack, resolver)
        if POLICY.parent.is_dir():
            stack.enter_context(placed(POLICY, NO_DAEMONS, 0o755))
        command = spec["command"] or [next((one for one in SHELLS if Path(one).exists()), "/bin/sh")]
        try:
            status = subprocess.run(command, env=spec["environment"]).returncode
            return status if status >= 0 else BY_SIGNAL - status  # as shells say it
        except FileNotFoundError:
            sys.stderr.write(f"the image has no {command[0]}\n")
            return 127
        finally:
            _end_others()


def _mounts(devices: dict[str, int]) -> None:
    mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
    try:
        mount("sysfs", "/sys", "sysfs", NOSUID | NODEV | NOEXEC | READONLY)
    except OSError as err:
        if err.errno not in (errno.EPERM, errno.EACCES):  # a container may not; few programs ask
            raise
    mount("tmpfs", "/dev", "tmpfs", NOSUID | NOEXEC, "mode=755,size=1m")
    for name, fd in devices.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        mount(f"/proc/self/fd/{fd}", f"/dev/{name}", "", BIND)
        os.close(fd)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path("/dev", name).symlink_to(f"/proc/self/{target}")
    for folder in ("pts", "shm"):
        Path("/dev", folder).mkdir(0o1777)
    mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    Path("/dev/ptmx").symlink_to("pts/ptmx")
    mount("tmpfs", "/run", "tmpfs", NOSUID | NODEV, "mode=755")
    Path("/run/lock").mkdir(0o1777)
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "mode=1777")  # noqa: S108 - the image's own


def _resolver(stack: ExitStack, text: bytes) -> None:
    """The host's resolv.conf, where the image's is a file, a link into /run, or missing."""
    Path("/run/.resolv.conf").write_bytes(text)
    if RESOLVER.is_symlink():
        target = RESOLVER.resolve()
        if target.is_relative_to("/run") and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
    elif RESOLVER.parent.is_dir():
        stack.enter_context(placed(RESOLVER, b"", 0o644))
        mount("/run/.resolv.conf", str(RESOLVER), "", BIND)
        stack.callback(unmount, str(RESOLVER))


def unmount(path: str) -> None:
    """Take away what is mounted there, even if it is in use."""
    while not _libc.umount2(path.encode(), 2):
        pass


def _end_others() -> None:
    """What the command left running holds the tree no longer."""
    try:
        os.kill(-1, 9)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
