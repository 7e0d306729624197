"""The folder at the top of a file system where goes what is in the way; it is the seed, and then removed.

Each run has a numbered folder of its own in it, where what it moves keeps its path; folders of runs that were
broken off are seeds as well. Law: nothing is ever written or removed through a link, and nothing keeps a
name from being moved: not its depth, not its flags. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from images.agent.inplace.flags import SETTABLE, clear_flags, flags_of, loosen

ASIDE = ".bootsrv-old"
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DENIED = (errno.EPERM, errno.EACCES)


class Aside:
    """The one of the file system that is mounted at `top`. Nothing is made before something is moved."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.home = top / ASIDE
        self._fd: int | None = None
        self._folder: tuple[bytes, int] | None = None
        self.folders = self._old()  # newest first
        self._number = int(self.folders[0].name) + 1 if self.folders else 0

    def _old(self) -> list[Path]:
        """What broken runs left. Whatever else has the name is removed."""
        try:
            is_dir = stat.S_ISDIR(self.home.lstat().st_mode)
        except FileNotFoundError:
            return []
        if not is_dir:
            self.home.unlink()
            return []
        handle = os.open(str(self.home), _DIR)
        try:
            _free(handle)
            names = [name.decode() for name in names_in(handle) if name.isdigit()]
            numbers = sorted((name for name in names if str(int(name)) == name), key=int)
            kinds = (os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode for name in numbers)
            kept = [name for name, kind in zip(numbers, kinds) if stat.S_ISDIR(kind)]  # noqa: B905 - 3.8
        finally:
            os.close(handle)
        return [self.home / name for name in reversed(kept)]

    def take(self, path: bytes, parent: int) -> None:
        """Moves what has that path in the file system out of the way; `parent` is its open directory."""
        folder, _, name = path.rpartition(b"/")
        _renamed(name, parent, name, self._into(folder))

    def _into(self, folder: bytes) -> int:
        """This run's copy of that directory. Valid until the next call."""
        if self._folder is not None and self._folder[0] == folder:
            return self._folder[1]
        if self._fd is None:
            self._fd = self._make()
        handle = os.dup(self._fd)
        try:
            for part in filter(None, folder.split(b"/")):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=handle)
                handle, above = os.open(part, _DIR, dir_fd=handle), handle
                os.close(above)
        except OSError:
            os.close(handle)
            raise
        if self._folder is not None:
            os.close(self._folder[1])
        self._folder = (folder, handle)
        return handle

    def _make(self) -> int:
        self.home.mkdir(mode=0o700, exist_ok=True)
        here = self.home / str(self._number)
        while True:
            try:
                here.mkdir(mode=0o700)
                break
            except FileExistsError:  # a file of that name
                self._number += 1
                here = self.home / str(self._number)
        self.folders.insert(0, here)
        return os.open(str(here), _DIR)

    def close(self) -> None:
        """Lets go of the directories."""
        for handle in (self._fd, self._folder[1] if self._folder else None):
            if handle is not None:
                os.close(handle)
        self._fd = self._folder = None

    def forget(self) -> None:
        """Removes all of it; the top directory keeps its time."""
        self.close()
        try:
            handle = os.open(str(self.home), _DIR)
        except FileNotFoundError:
            return
        before = self.top.stat()
        try:
            _empty(handle)
        finally:
            os.close(handle)
        self.home.rmdir()
        os.utime(self.top, ns=(before.st_atime_ns, before.st_mtime_ns))


def names_in(fd: int) -> list[bytes]:
    """What an open directory holds."""
    return [os.fsencode(name) for name in os.listdir(fd)]


def _empty(home: int) -> None:
    """Removes everything in an open directory. A directory's directories are moved up first, so that depth
    costs neither memory nor descriptors.
    """
    waiting, number = names_in(home), 0
    taken = set(waiting)
    while waiting:
        name = waiting.pop()
        if _unlinked(name, home):
            continue
        fd = os.open(name, _DIR, dir_fd=home)
        try:
            _free(fd)
            for inner in names_in(fd):
                if _unlinked(inner, fd):
                    continue
                while (up := b"%d" % number) in taken:
                    number += 1
                taken.add(up)
                _renamed(inner, fd, up, home)
                waiting.append(up)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=home)
        taken.discard(name)


def _unlinked(name: bytes, parent: int) -> bool:
    """False for a directory, which stays."""
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        return False
    try:
        os.unlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        loosen(name, parent)
        os.unlink(name, dir_fd=parent)
    return True


def _renamed(name: bytes, parent: int, new: bytes, home: int) -> None:
    try:
        os.rename(name, new, src_dir_fd=parent, dst_dir_fd=home)
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        loosen(name, parent)
        os.rename(name, new, src_dir_fd=parent, dst_dir_fd=home)


def _free(fd: int) -> None:
    found = flags_of(fd)
    if found & SETTABLE:
        clear_flags(fd, found)
