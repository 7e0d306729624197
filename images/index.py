"""Which pack holds which chunk, over all packs: a cache in SQLite that can be thrown away at any time.

Law: the packs are the truth. On opening, packs that the cache does not know are read in (their trailers
suffice), packs that are gone are dropped, and a damaged cache is rebuilt from nothing; so a crash between
writing a pack and noting it loses nothing. A pack whose own index is damaged is left out and listed in
`damaged`. Only writers, gc and verify use this file: those who serve nodes read locators, which are plain
files.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from images.errors import BadInput
from images.pack import SUFFIX, FrameRow, Trailer, read_trailer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS frames (
  pack INTEGER, frame INTEGER, offset INTEGER, stored INTEGER, raw INTEGER, codec INTEGER,
  PRIMARY KEY (pack, frame)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
  id BLOB PRIMARY KEY, pack INTEGER, frame INTEGER, inner INTEGER, length INTEGER) WITHOUT ROWID;
"""
_VERSION = 1
_PATIENCE, _PAUSE = 60.0, 0.02  # seconds, for another writer
_MANY = 4  # asked for one by one: less than one in so many


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

    def __init__(self, path: Path, packs: Path, skip: Iterable[bytes] = ()) -> None:
        self._path = path
        self._packs = packs
        self.damaged: dict[str, str] = {}  # file name -> reason
        try:
            self._db = self._open()
            self.refresh(skip)
        except sqlite3.OperationalError:
            raise  # cannot be opened or the disk is full: not a damaged cache
        except sqlite3.DatabaseError:
            self.rebuild(skip)

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
        """Note a pack. A chunk known already keeps its old place unless `replace`."""
        with self._db:
            cursor = self._db.execute("INSERT OR IGNORE INTO packs (id) VALUES (?)", (trailer.id,))
            if not cursor.rowcount:
                return
            number = int(cursor.lastrowid or 0)
            self._db.executemany(
                "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (number, n, row.offset, row.stored, row.raw, row.codec)
                    for n, row in enumerate(trailer.frames)
                ),
            )
            verb = "REPLACE" if replace else "IGNORE"
            self._db.executemany(
                f"INSERT OR {verb} INTO chunks (pack, id, frame, inner, length)"  # noqa: S608 - one of two words
                f" VALUES ({number}, ?, ?, ?, ?)",
                sorted(trailer.chunks),  # the table's own order
            )

    def drop(self, packs: Iterable[bytes]) -> None:
        """Forget packs. Chunks of theirs that another pack holds as well are found there from now on."""
        wanted = list(packs)
        with self._db:
            for id in wanted:
                row = self._db.execute("SELECT number FROM packs WHERE id = ?", (id,)).fetchone()
                if row is None:
                    continue
                self._db.execute("DELETE FROM chunks WHERE pack = ?", row)
                self._db.execute("DELETE FROM frames WHERE pack = ?", row)
                self._db.execute("DELETE FROM packs WHERE number = ?", row)
        for id in self.packs() if wanted else ():
            trailer = self._read(id)
            if trailer:
                self._refill(trailer)

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

    def _refill(self, trailer: Trailer) -> None:
        with self._db:
            row = self._db.execute("SELECT number FROM packs WHERE id = ?", (trailer.id,)).fetchone()
            self._db.executemany(
                "INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)",
                ((c.id, row[0], c.frame, c.inner, c.length) for c in trailer.chunks),
            )

    def rebuild(self, skip: Iterable[bytes] = ()) -> None:
        """Throw the cache away and read every pack's own index."""
        with contextlib.suppress(AttributeError):
            self._db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(str(self._path) + suffix).unlink(missing_ok=True)
        self._db = self._open()
        self.refresh(skip)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
        self._path.chmod(0o640)
        _write_ahead(db)
        db.execute("PRAGMA synchronous = NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError("index of another form")
        db.executescript(_SCHEMA)
        db.execute(f"PRAGMA user_version = {_VERSION}")
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
