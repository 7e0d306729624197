"""Which pack holds which chunk, over all packs: a cache in SQLite that can be thrown away at any time.

Law: the packs are the truth. On opening, packs that the cache does not know are read in (their trailers
suffice), packs that are gone are dropped, and a damaged cache is rebuilt from nothing; so a crash between
writing a pack and noting it loses nothing. A pack whose own index is damaged is left out and listed in
`damaged`. Only writers, gc and verify use this file: those who serve nodes read locators, which are plain
files. Of a chunk that lies in several packs it tells a place that is no patch, if there is one: so a base
that was found in a plain frame is never told to be in a patch afterwards.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from images.errors import BadInput
from images.locator import PATCH
from images.pack import SUFFIX, FrameRow, Trailer, read_trailer
from images.sqlite_edge import Connection

_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS frames (
  pack INTEGER, frame INTEGER, offset INTEGER, stored INTEGER, raw INTEGER, codec INTEGER,
  PRIMARY KEY (pack, frame)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
  id BLOB PRIMARY KEY, pack INTEGER, frame INTEGER, inner INTEGER, length INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bases (
  pack INTEGER, frame INTEGER, place INTEGER, id BLOB, PRIMARY KEY (pack, frame, place)) WITHOUT ROWID;
"""
_VERSION = 2
_ADD = "INSERT INTO chunks VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO "
_REPLACE = (
    "UPDATE SET pack = excluded.pack, frame = excluded.frame, inner = excluded.inner,"
    " length = excluded.length"
)
_OLD_CODEC = "SELECT codec FROM frames f WHERE f.pack = chunks.pack AND f.frame = chunks.frame"
_UNLESS_PLAIN = f"{_REPLACE} WHERE ({_OLD_CODEC}) = {PATCH:d}"
_PATIENCE, _PAUSE = 60.0, 0.02  # seconds, for another writer
_MANY = 4  # asked for one by one: less than one in so many


class _OtherForm(sqlite3.DatabaseError):
    """Of an older or newer program: no damage."""


class Where(NamedTuple):
    """A chunk's place: pack id (raw), its frame, and the run inside the unpacked frame."""

    pack: bytes
    frame: int
    offset: int
    stored: int
    raw: int
    codec: int
    inner: int
    length: int


# Chunk id, the index's own number of its pack, frame, place inside, length: for who asks for many chunks.
Spot = tuple[bytes, int, int, int, int]


class Index:
    """One connection. `skip` names packs (raw ids) that must not be offered, because gc is about to drop
    them.
    """

    def __init__(self, path: Path, packs: Path, skip: Iterable[bytes] = (), memory: bool = False) -> None:
        """`memory`: read the packs anew and keep nothing on the disk, which has no room. Raises OSError, with
        the name of its file where this is at fault.
        """
        self._path = path
        self._memory = memory
        self._packs = packs
        self.damaged: dict[str, str] = {}  # file name -> reason
        try:
            try:
                self._db = self._open()
                self.refresh(skip)
            except sqlite3.OperationalError:
                raise  # somebody holds it: not a damaged cache
            except _OtherForm:
                self.rebuild(skip)
            except sqlite3.DatabaseError as error:
                self.damaged[self._path.name] = str(error)
                self.rebuild(skip)
        except BaseException:
            with contextlib.suppress(AttributeError):
                self._db.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def has(self, id: bytes) -> bool:
        """Whether a pack holds the chunk."""
        return self._db.execute("SELECT 1 FROM chunks WHERE id = ?", (id,)).fetchone() is not None

    def find(self, id: bytes) -> Where | None:
        """The chunk's place, or None."""
        row = self._db.execute(
            "SELECT p.id, c.frame, f.offset, f.stored, f.raw, f.codec, c.inner, c.length FROM chunks c"
            " JOIN packs p ON p.number = c.pack JOIN frames f ON f.pack = c.pack AND f.frame = c.frame"
            " WHERE c.id = ?",
            (id,),
        ).fetchone()
        return Where(*row) if row else None

    def spots(self, wanted: Sequence[bytes]) -> Iterator[Spot]:
        """The places of those of `wanted` (sorted, no repeats) that it knows, in order. When these are much
        of what there is, the table is read once from end to end.
        """
        rows = "SELECT id, pack, frame, inner, length FROM chunks"
        if self.count() > _MANY * len(wanted):
            for id in wanted:
                yield from self._db.execute(f"{rows} WHERE id = ?", (id,))
            return
        asked = set(wanted)
        yield from (row for row in self._db.execute(f"{rows} ORDER BY id") if row[0] in asked)

    def frame(self, pack: int, number: int) -> tuple[bytes, FrameRow] | None:
        """(pack id, frame) of a spot; the digest of the stored bytes is not kept. None: a damaged cache."""
        row = self._db.execute(
            "SELECT p.id, f.offset, f.stored, f.raw, f.codec FROM frames f JOIN packs p ON p.number = f.pack"
            " WHERE f.pack = ? AND f.frame = ?",
            (pack, number),
        ).fetchone()
        return (row[0], FrameRow(row[1], row[2], row[3], row[4], b"")) if row else None

    def bases(self, pack: int, frame: int) -> tuple[bytes, ...]:
        """Of a patch: the chunks whose bytes come before it, in order. By the index's number of the pack."""
        found = self._db.execute(
            "SELECT id FROM bases WHERE pack = ? AND frame = ? ORDER BY place", (pack, frame)
        )
        return tuple(id for (id,) in found)

    def bases_in(self, pack: bytes) -> dict[int, tuple[bytes, ...]]:
        """The same of all patches in the pack with that raw id, by frame."""
        found: dict[int, list[bytes]] = {}
        for frame, id in self._db.execute(
            "SELECT b.frame, b.id FROM bases b JOIN packs p ON p.number = b.pack WHERE p.id = ?"
            " ORDER BY b.frame, b.place",
            (pack,),
        ):
            found.setdefault(frame, []).append(id)
        return {frame: tuple(ids) for frame, ids in found.items()}

    def bases_for(self, ids: Iterable[bytes]) -> set[bytes]:
        """All that those of `ids` start from that lie in patches."""
        frames = set(self._db.execute("SELECT DISTINCT pack, frame FROM bases"))
        if not frames:
            return set()
        used = {(pack, frame) for _, pack, frame, _, _ in self.spots(sorted(set(ids)))} & frames
        return {id for one in used for id in self.bases(*one)}

    def orphans(self) -> set[bytes]:
        """Chunks in patches of which a base is in no plain frame: nobody can count on those."""
        found = self._db.execute(
            "SELECT DISTINCT b.pack, b.frame FROM bases b LEFT JOIN chunks c ON c.id = b.id"
            " LEFT JOIN frames f ON f.pack = c.pack AND f.frame = c.frame"
            " WHERE c.id IS NULL OR f.codec = ?",
            (PATCH,),
        )
        broken = set(found)
        rows = self._db.execute("SELECT id, pack, frame FROM chunks") if broken else ()
        return {id for id, pack, frame in rows if (pack, frame) in broken}

    def all_bases(self) -> set[bytes]:
        """What any patch starts from."""
        return {id for (id,) in self._db.execute("SELECT DISTINCT id FROM bases")}

    def patches(self) -> Iterator[tuple[bytes, set[bytes], list[bytes]]]:
        """Of every patch: its pack's id, the chunks that this index takes from it, and its bases."""
        bases: dict[tuple[int, int], list[bytes]] = {}
        for pack, frame, id in self._db.execute("SELECT pack, frame, id FROM bases ORDER BY 1, 2, place"):
            bases.setdefault((pack, frame), []).append(id)
        members: dict[tuple[int, int], set[bytes]] = {}
        for id, pack, frame in self._db.execute("SELECT id, pack, frame FROM chunks") if bases else ():
            if (pack, frame) in bases:
                members.setdefault((pack, frame), set()).add(id)
        names = dict(self._db.execute("SELECT number, id FROM packs"))
        for where, ids in bases.items():
            yield names[where[0]], members.get(where, set()), ids

    def count(self) -> int:
        """How many chunks it knows."""
        return int(self._db.execute("SELECT count(*) FROM chunks").fetchone()[0])

    def ids(self, most: int) -> set[bytes] | None:
        """The ids of all chunks, or None when there are more than `most`."""
        if self.count() > most:
            return None
        return {id for (id,) in self._db.execute("SELECT id FROM chunks")}

    def packs(self) -> list[bytes]:
        """Raw ids of all packs it offers chunks from."""
        return [id for (id,) in self._db.execute("SELECT id FROM packs ORDER BY number")]

    def chunks_of(self, pack: bytes) -> Iterator[tuple[bytes, int]]:
        """(id, length) of the chunks that this index takes from that pack."""
        return iter(
            self._db.execute(
                "SELECT c.id, c.length FROM chunks c JOIN packs p ON p.number = c.pack WHERE p.id = ?",
                (pack,),
            ).fetchall()
        )

    def add(self, trailer: Trailer, replace: bool = False) -> None:
        """Note a pack. A chunk known already keeps its old place unless `replace`, or unless the old one is a
        patch and this is none; a plain place is never given up for a patch.
        """
        with self._db:
            self._add(trailer, replace)

    def swap(self, old: Iterable[bytes], new: Iterable[Trailer]) -> None:
        """Forget packs for others that hold the same chunks, in one step."""
        with self._db:
            for id in old:
                self._drop(id)
            for trailer in new:
                self._add(trailer)

    def _add(self, trailer: Trailer, replace: bool = False) -> None:
        cursor = self._db.execute("INSERT OR IGNORE INTO packs (id) VALUES (?)", (trailer.id,))
        if cursor.rowcount:
            number = int(cursor.lastrowid or 0)
            self._db.executemany(
                "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (number, n, row.offset, row.stored, row.raw, row.codec)
                    for n, row in enumerate(trailer.frames)
                ),
            )
            self._db.executemany(
                "INSERT INTO bases VALUES (?, ?, ?, ?)",
                ((number, n, at, id) for n, ids in trailer.bases.items() for at, id in enumerate(ids)),
            )
        self._place(trailer, replace)  # another process may have found the pack on the disk before

    def _place(self, trailer: Trailer, replace: bool = False) -> None:
        (number,) = self._db.execute("SELECT number FROM packs WHERE id = ?", (trailer.id,)).fetchone()
        plain, patches = (_REPLACE, _UNLESS_PLAIN) if replace else (_UNLESS_PLAIN, "NOTHING")
        for patched, how in ((False, plain), (True, patches)):
            self._db.executemany(
                _ADD + how,
                (
                    (row.id, number, row.frame, row.inner, row.length)
                    for row in sorted(trailer.chunks)  # the table's own order
                    if (row.frame in trailer.bases) is patched
                ),
            )

    def drop(self, packs: Iterable[bytes]) -> None:
        """Forget packs. Chunks of theirs that another pack holds as well are found there from now on."""
        wanted = list(packs)
        if not wanted:
            return
        with self._db:  # in one step: a chunk that is in no place is taken for lost
            for id in wanted:
                self._drop(id)
            for id in self.packs():
                trailer = self._read(id)
                if trailer:
                    self._place(trailer)

    def _drop(self, id: bytes) -> None:
        row = self._db.execute("SELECT number FROM packs WHERE id = ?", (id,)).fetchone()
        if row is not None:
            self._db.execute("DELETE FROM chunks WHERE pack = ?", row)
            self._db.execute("DELETE FROM frames WHERE pack = ?", row)
            self._db.execute("DELETE FROM bases WHERE pack = ?", row)
            self._db.execute("DELETE FROM packs WHERE number = ?", row)

    def refresh(self, skip: Iterable[bytes] = ()) -> None:
        """Bring the cache in line with the packs on disk."""
        hidden = set(skip)
        found = {bytes.fromhex(path.stem) for path in self._packs.glob("*" + SUFFIX)} - hidden
        known = set(self.packs())
        self.drop(known - found)
        for id in found - known:
            trailer = self._read(id)
            if trailer:
                self.add(trailer)

    def _read(self, id: bytes) -> Trailer | None:
        """A pack's own index; None when it is damaged (noted) or was removed by gc since it was listed."""
        path = self._packs / (id.hex() + SUFFIX)
        try:
            trailer = read_trailer(path)
        except BadInput as err:
            self.damaged[path.name] = str(err)
            return None
        except FileNotFoundError:
            return None
        if trailer.id != id:
            self.damaged[path.name] = f"{path}: holds another pack's content"
            return None
        return trailer

    def rebuild(self, skip: Iterable[bytes] = ()) -> None:
        """Throw the cache away and read every pack's own index."""
        with contextlib.suppress(AttributeError):
            self._db.close()
        for suffix in () if self._memory else ("", "-wal", "-shm"):
            Path(str(self._path) + suffix).unlink(missing_ok=True)
        self._db = self._open()
        self.refresh(skip)

    def _open(self) -> sqlite3.Connection:
        db = Connection(":memory:" if self._memory else self._path, _PATIENCE)
        try:
            if not self._memory:
                self._path.chmod(0o640)
                _write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise _OtherForm("index of another form")
            db.executescript(_SCHEMA)
            if version != _VERSION:  # it would be written each time
                db.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            db.close()
            raise
        return db


def _write_ahead(db: sqlite3.Connection) -> None:
    """Readers and a writer at once. Of two who change a new file at the same time SQLite refuses one without
    waiting, whatever the connection's patience."""
    until = time.monotonic() + _PATIENCE
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(_PAUSE)
