"""Files that appear whole or not at all: written beside their place, forced to disk, renamed, directory
forced too.

Law: after `publish_file` returns, the file survives a power cut; before that, nobody sees it.
Modes: a store may hold an image's secrets, so its group (the service) reads, the world does not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

FILE_MODE = 0o640
DIR_MODE = 0o2750  # set-group-id: what root adds later stays readable by the service


def sync_dir(path: Path) -> None:
    """Force a directory's names to disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def temp_path(folder: Path, hint: str) -> Path:
    """A name in `folder` that nobody uses; leftovers of a crash are told by it and swept by gc."""
    return folder / f"{hint}.{os.getpid()}.{secrets.token_hex(6)}.tmp"


def publish_file(temp: Path, final: Path) -> None:
    """Move a complete, already fsynced file to its name and make the name durable."""
    temp.replace(final)
    sync_dir(final.parent)
    if temp.parent != final.parent:
        sync_dir(temp.parent)


def write_file(final: Path, data: bytes, folder: Path | None = None, mode: int = FILE_MODE) -> None:
    """Write `data` so that `final` is the old file or the new one, never a mixture. Raises OSError with a
    name.
    """
    temp = temp_path(folder or final.parent, final.name)
    try:
        fd = create(temp, mode)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        publish_file(temp, final)
    except BaseException as error:
        temp.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(final)  # a write knows only its descriptor: say which disk it was
        raise


def create(path: Path, mode: int = FILE_MODE) -> int:
    """A descriptor of a file that must not exist yet, with exactly this mode whatever the umask."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes) -> None:
    """All of it, or OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file alone; waits for whoever has it. A killed holder frees it at once."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
