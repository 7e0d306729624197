"""What a machine keeps of its updates, in /var/lib/bootsrv/push: which version it is, and what it knew of its
files.

    manifest   the signed manifest of the version that the machine is      stage/     files waiting to be
    switched cache      stat of each name when it was last found as in the manifest journal    a switch that
    is under way phase      how far that switch is: switch, wait, back, settle

Law: files appear whole and forced to disk; a cache that cannot be read is no cache. Python 3.8, standard
library only.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, NamedTuple, Optional, Union

from images.errors import ImageError

if TYPE_CHECKING:
    from images.agent.update.folders import Folders
    from images.sealed import SealedManifest

HOME = "var/lib/bootsrv/push"
RECENT = 50_000_000  # ns: a file changed again within the same clock tick would look unchanged
FORMAT = 4
# Packed, since there may be a row for each of a million names: inode, size, mtime ns, ctime ns.
# An mtime may be beyond 2262, where ns with a sign do not fit: its lower bits are enough.
STAMP = struct.Struct("<QQQq")
BITS = 0xFFFF_FFFF_FFFF_FFFF
Known = Dict[bytes, bytes]  # path -> stamp and hash of its manifest line


class Cache(NamedTuple):
    """`known` of manifest `id`, under exclude lists with that hash. `whole`: nothing was found to differ."""

    id: str
    lists: bytes  # of all that says what is not the image's, or instead of it: the image's own lists apart
    whole: bool
    known: Known


EMPTY = Cache("", b"", False, {})


def stamp(info: os.stat_result) -> bytes:
    """What changes when anything about a file changes."""
    return STAMP.pack(info.st_ino, info.st_size, info.st_mtime_ns & BITS, info.st_ctime_ns)


def line_hash(line: bytes) -> bytes:
    """Tells manifest lines apart."""
    return hashlib.blake2b(line, digest_size=10).digest()


def unchanged(tree: Folders, known: Known) -> bool:
    """Whether every name still has its stamp: the whole answer when nothing has happened since."""
    folder, handle, pack = None, -1, STAMP.pack
    try:
        for path, row in known.items():  # no calls of ours: there are many names
            above, _, name = path.rpartition(b"/")
            if above != folder:
                folder, handle = above, tree.open(above)
            info = os.stat(name or b".", dir_fd=handle, follow_symlinks=False)
            now = pack(info.st_ino, info.st_size, info.st_mtime_ns & BITS, info.st_ctime_ns)
            if not row.startswith(now):
                return False
    except OSError:  # gone, or not a directory any more
        return False
    return True


class State:
    """The directory. `root` is the machine's /."""

    def __init__(self, root: Path) -> None:
        self.home = root / HOME
        self.stage = self.home / "stage"
        self.journal = self.home / "journal"
        self.manifest = self.home / "manifest"
        self.incoming = self.home / "manifest.new"
        self.previous = self.home / "manifest.old"
        self.fetched_base = self.home / "manifest.base"
        self.phase = self.home / "phase"
        self._cache = self.home / "cache"

    def prepare(self) -> None:
        """Makes the directory, for root alone."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)

    def base(self, public: bytes) -> Optional[SealedManifest]:
        """The version this machine is; None when it is not known or its record is damaged."""
        from images.sealed import open_sealed  # only here: most runs see at a glance that nothing changed

        try:
            return open_sealed(self.manifest, public)
        except (OSError, ImageError):
            return None

    def keep_manifest(self, sealed: Path) -> None:
        """The machine is this version."""
        write_whole(self.manifest, sealed.read_bytes())

    def advance(self) -> None:
        """The machine becomes the version of the manifest that came in; may be called again."""
        if not self.incoming.exists():
            return
        before = self.manifest if self.manifest.exists() else self.fetched_base
        if before.exists():
            write_whole(self.previous, before.read_bytes())
        self.incoming.replace(self.manifest)
        sync_folder(self.home)

    def retreat(self) -> None:
        """The machine is what it was before `advance`; may be called again."""
        if self.previous.exists():
            self.previous.replace(self.manifest)
        self.incoming.unlink(missing_ok=True)
        sync_folder(self.home)

    def load_cache(self) -> Cache:
        """What is known, or EMPTY."""
        try:
            form, id_, lists, whole, known = marshal.loads(self._cache.read_bytes())  # noqa: S302 - root's own
        except (OSError, ValueError, EOFError, TypeError):
            return EMPTY
        return Cache(id_, lists, whole, known) if form == FORMAT else EMPTY

    def save_cache(self, cache: Cache, taken: int) -> None:
        """Keeps it. `taken`: when the first stamp was taken, epoch ns. What had changed only just before is
        left out: it could have changed again without showing.
        """
        latest = taken - RECENT
        known = {path: row for path, row in cache.known.items() if STAMP.unpack_from(row)[3] < latest}
        whole = cache.whole and len(known) == len(cache.known)
        write_whole(self._cache, marshal.dumps((FORMAT, cache.id, cache.lists, whole, known)))


def write_whole(path: Path, data: Union[bytes, Iterable[bytes]]) -> None:
    """Replaces a file as a whole; on disk when this returns."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A directory's names are on disk when this returns."""
    handle = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
