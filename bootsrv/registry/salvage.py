"""A damaged registry file: found at start, set aside, and made anew from what can still be read.

SQLite reads a table up to the first bad page and gives up; so each table is read from both ends, then row by
row around the hole, and what is missing is taken from the last good copy. The laws: the damaged file is kept
as it is; nothing is lost without a number that says so; a sound file is left alone.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bootsrv.registry.connection import Database
from bootsrv.registry.schema import migrate

log = logging.getLogger(__name__)
PARTS = ("", "-wal", "-shm")
# In this order, so that what refers to a node comes after it. What is only history may stay behind.
TABLES = ("nodes", "macs", "memberships", "groups", "leases", "users", "settings", "tokens", "flights",
          "answers", "answer_versions", "answer_secrets", "events", "logs")  # fmt: skip
MOST_STEPS = 10_000  # attempts to get past a hole


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was done. `rows`: by table, how many there are now; `incomplete`: tables that could not be read to
    their end; `copied`: rows that came from the last good copy."""

    aside: Path
    reason: str
    rows: dict[str, int] = field(default_factory=dict)
    incomplete: tuple[str, ...] = ()
    copied: int = 0

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {table}" for table, count in self.rows.items() if count)
        text = f"the registry was damaged ({self.reason}); it was made anew with {counts or 'nothing'}"
        if self.copied:
            text += f", {self.copied} rows of these from the last good copy"
        if self.incomplete:
            text += f"; not all could be read of: {', '.join(self.incomplete)}"
        return f"{text}. The damaged file is kept: {self.aside}"


def good_copy(path: Path) -> Path:
    """Where the last good copy of a registry is."""
    return path.with_name(path.name + ".good")


def look_after(path: Path) -> Salvaged | None:
    """Before any process opens the file: copy it if it is sound, salvage it if it is not. Raises OSError.

    Takes about a second for 100,000 nodes. Nobody else may have it open.
    """
    if not path.exists():
        return None
    try:
        reason = damage(path)
        if reason is None:
            _copy(path)
            return None
        return _salvage(path, reason)
    except sqlite3.Error as error:
        raise OSError(f"registry: {path} cannot be looked after: {error}") from error


def damage(path: Path) -> str | None:
    """Why the file is not sound, in SQLite's words; None when it is."""
    try:
        with closing(sqlite3.connect(path, timeout=15)) as db:
            rows = db.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "unable to open" in str(error):
            raise
        return str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if rows == [("ok",)] else "; ".join(str(row[0]).replace("\n", " ") for row in rows)[:200]


def _copy(path: Path) -> None:
    """A sound registry as it is now, in one file; a crash meanwhile leaves the older copy."""
    fresh = path.with_name(path.name + ".copying")
    fresh.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=15)) as source, closing(sqlite3.connect(fresh)) as target:
            source.backup(target)
        fresh.chmod(0o600)
        fresh.replace(good_copy(path))
    except (OSError, sqlite3.Error) as error:  # a full disk: the service matters more than its copy
        log.warning("the registry could not be copied: %s", error)
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _salvage(path: Path, reason: str) -> Salvaged:
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    fresh = path.with_name(path.name + ".salvaged")
    for part in PARTS:
        Path(f"{fresh}{part}").unlink(missing_ok=True)
    new = Database(fresh)
    migrate(new)
    new.close()
    rows: dict[str, int] = {}
    incomplete: list[str] = []
    copied = 0
    with closing(sqlite3.connect(fresh)) as target:
        # A row whose node is gone is of no use, but must not stop the others: each is tried by itself.
        target.execute("PRAGMA foreign_keys=OFF")
        for table in TABLES:
            found, whole = _read(path, table)
            before = _write(target, table, found)
            if not whole:
                incomplete.append(table)
            known, _whole = _read(good_copy(path), table) if not whole else ([], True)
            rows[table] = _write(target, table, known)
            copied += rows[table] - before
        _count_on(target, path)
        target.execute("DELETE FROM macs WHERE node NOT IN (SELECT id FROM nodes)")
        target.execute("DELETE FROM memberships WHERE node NOT IN (SELECT id FROM nodes)")
        target.commit()
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for part in PARTS:
        if Path(f"{path}{part}").exists():
            Path(f"{path}{part}").replace(f"{aside}{part}")
    for part in PARTS:
        if Path(f"{fresh}{part}").exists():
            Path(f"{fresh}{part}").replace(f"{path}{part}")
    return Salvaged(aside, reason, rows, tuple(incomplete), copied)


def _count_on(target: sqlite3.Connection, path: Path) -> None:
    """Counters never go back: who saw a number must not see it again for something else."""
    for source in (path, good_copy(path)):
        for row in _read(source, "counters")[0]:
            target.execute(
                "UPDATE counters SET value=max(value, ?) + 1 WHERE name=?", (row["value"], row["name"])
            )


def _read(path: Path, table: str) -> tuple[list[dict[str, object]], bool]:
    """The rows that can be read, and whether these are all."""
    if not path.exists():
        return [], False
    try:
        # Not "immutable": committed rows may still be in the WAL.
        with closing(sqlite3.connect(path)) as db:
            db.text_factory = lambda raw: raw.decode(errors="replace")
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            if not names:
                return [], False
            rows, whole = _both_ends(db, table)
            return [dict(zip(names, row, strict=False)) for row in rows], whole
    except sqlite3.Error as error:
        log.warning("salvage: %s: %s", table, error)
        return [], False


def _both_ends(db: sqlite3.Connection, table: str) -> tuple[list[tuple[object, ...]], bool]:
    rows: dict[tuple[object, ...], None] = {}
    if _until_bad(db, f"SELECT * FROM {table}", rows):  # noqa: S608 - our own table names
        return list(rows), True
    if "WITHOUT ROWID" in str(db.execute("SELECT sql FROM sqlite_master WHERE name=?", (table,)).fetchone()):
        key = str(db.execute(f"PRAGMA table_info({table})").fetchone()[1])
        _until_bad(db, f"SELECT * FROM {table} ORDER BY {key} DESC", rows)  # noqa: S608
        return list(rows), False
    _around_holes(db, table, rows)
    return list(rows), False


def _around_holes(db: sqlite3.Connection, table: str, rows: dict[tuple[object, ...], None]) -> None:
    """From the top down, then over each hole in growing steps, and back from where reading goes on."""
    numbered = f"SELECT rowid, * FROM {table} WHERE rowid"  # noqa: S608 - our own table names
    found: dict[tuple[object, ...], None] = {}
    _until_bad(db, f"{numbered} > -1 ORDER BY rowid DESC", found)
    top = max((int(str(row[0])) for row in found), default=1 << 32)
    at, step = -1, 1
    for _ in range(MOST_STEPS):
        part: dict[tuple[object, ...], None] = {}
        whole = _until_bad(db, f"{numbered} > {at} ORDER BY rowid", part)
        if part:
            ids = [int(str(row[0])) for row in part]
            _until_bad(db, f"{numbered} < {min(ids)} AND rowid > {at - step} ORDER BY rowid DESC", part)
            at, step = max(ids), 1
        found.update(part)
        if whole or at > top:
            break
        at, step = at + step, step * 2
    rows.update({row[1:]: None for row in found})


def _until_bad(db: sqlite3.Connection, sql: str, into: dict[tuple[object, ...], None]) -> bool:
    """Rows up to the first that cannot be read; True when there was none such."""
    try:
        for row in db.execute(sql):
            into[row] = None
    except sqlite3.DatabaseError:
        return False
    return True


def _write(target: sqlite3.Connection, table: str, rows: list[dict[str, object]]) -> int:
    """Add what is not there yet; gives how many there are then."""
    known = {row[1] for row in target.execute(f"PRAGMA table_info({table})")}
    for row in rows:
        names = [name for name in row if name in known]
        try:
            target.execute(
                f"INSERT OR IGNORE INTO {table} ({', '.join(names)})"  # noqa: S608
                f" VALUES ({', '.join('?' * len(names))})",
                [row[name] for name in names],
            )
        except sqlite3.Error as error:  # half a row
            log.warning("salvage: a row of %s is not usable: %s", table, error)
    return int(target.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
