"""Reads and writes files inside a foreign root without ever leaving it, whatever links the root holds.

openat2(2) with RESOLVE_IN_ROOT (Linux 5.6) resolves every path as if the root were /: an absolute link inside
stays inside, `..` stops at the root. The law: every path of an image goes through here; files appear whole by
rename. Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

OPENAT2 = 437  # the same number on every architecture
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


class Root:
    """A directory that is some system's /. Paths are absolute inside it ("/etc/hostname")."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(str(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Lets go of the directory, so that it can be unmounted."""
        os.close(self._handle)

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """A file descriptor; links are followed inside the root. Raises OSError."""
        how = _How(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        handle = _libc.syscall(
            OPENAT2, self._handle, os.fsencode(path.lstrip("/") or "."), ctypes.byref(how), ctypes.sizeof(how)
        )
        if handle < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        return int(handle)

    def exists(self, path: str) -> bool:
        """Whether it is there, links followed."""
        try:
            os.close(self.open(path, os.O_PATH))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_link(self, path: str) -> bool:
        """Whether the last component is a symbolic link."""
        return stat.S_ISLNK(self._lstat(path))

    def is_dir(self, path: str) -> bool:
        """Whether it is a directory, links followed."""
        try:
            os.close(self.open(path, os.O_PATH | os.O_DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _lstat(self, path: str) -> int:
        try:
            handle = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        try:
            return os.fstat(handle).st_mode
        finally:
            os.close(handle)

    def read(self, path: str) -> bytes | None:
        """The file's content; None when it is not there."""
        try:
            handle = self.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(handle, "rb") as stream:
            return stream.read()

    def mode(self, path: str) -> int | None:
        """Its permission bits, links followed; None when it is not there."""
        try:
            handle = self.open(path, os.O_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return stat.S_IMODE(os.fstat(handle).st_mode)
        finally:
            os.close(handle)

    def read_text(self, path: str) -> str:
        """The file as text; empty when it is not there."""
        return (self.read(path) or b"").decode("utf-8", "surrogateescape")

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty when it is not there."""
        try:
            handle = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return sorted(os.listdir(handle))  # noqa: PTH208 - a descriptor, not a path
        finally:
            os.close(handle)

    def make_dirs(self, path: str, mode: int = 0o755) -> None:
        """The directory and its parents; what is there already is left alone."""
        made = ""
        for part in [p for p in path.split("/") if p]:
            made += "/" + part
            if not self.is_dir(made):
                parent = self._parent(made)
                try:
                    os.mkdir(part, mode, dir_fd=parent)
                    os.chmod(part, mode, dir_fd=parent)
                finally:
                    os.close(parent)

    def write(self, path: str, data: bytes | str, mode: int | None = None) -> None:
        """Replaces the file (or link) at `path` as a whole; keeps owner and mode of a file that was there."""
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        self.make_dirs(path.rpartition("/")[0])
        name, parent = path.rpartition("/")[2], self._parent(path)
        temporary = f".{name}.bootsrv-new"
        try:
            old = self._plain_file(name, parent)
            self._unlink(temporary, parent)
            handle = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent
            )
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                os.fchown(stream.fileno(), old.st_uid if old else 0, old.st_gid if old else 0)
                kept = stat.S_IMODE(old.st_mode) if old else 0o644
                os.fchmod(stream.fileno(), kept if mode is None else mode)
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            os.close(parent)

    def link(self, path: str, target: str) -> None:
        """A symbolic link at `path`, replacing a file or link there."""
        self.make_dirs(path.rpartition("/")[0])
        name, parent = path.rpartition("/")[2], self._parent(path)
        try:
            self._unlink(name, parent)
            os.symlink(target, name, dir_fd=parent)
        finally:
            os.close(parent)

    def remove(self, path: str) -> bool:
        """Removes a file or link; False when it was not there."""
        if not self._lstat(path):
            return False
        parent = self._parent(path)
        try:
            return self._unlink(path.rpartition("/")[2], parent)
        finally:
            os.close(parent)

    def _parent(self, path: str) -> int:
        return self.open(path.rpartition("/")[0] or "/", os.O_RDONLY | os.O_DIRECTORY)

    @staticmethod
    def _plain_file(name: str, parent: int) -> os.stat_result | None:
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    @staticmethod
    def _unlink(name: str, parent: int) -> bool:
        try:
            os.unlink(name, dir_fd=parent)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True
