"""One SQLite file, opened once per thread, with transactions that nest.

Every process of the appliance opens its own; WAL lets readers go on while one writes. A commit is on the
disk when it returns (`synchronous=FULL`): an ACKed lease or a finished imaging must survive a power cut.
The law: no other package of the house imports sqlite3.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from images.sqlite_edge import as_oserror

BUSY_SECONDS = 15.0


class Database:
    """Connections to one file. Safe to share between threads: each gets its own connection.

    Raises OSError from any call when the file cannot be used (disk full, damaged, not writable).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        # SQLite's own waiting sleeps up to 100 ms at a time; threads of one process hand over at once.
        self._writing = threading.Lock()

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            found.execute("PRAGMA foreign_keys=ON")
            found.execute("PRAGMA cache_size=-16000")
            self._local.connection = found
            self._local.depth = 0
        return found

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Every row."""
        with _as_oserror(self.path):
            return self._connection().execute(sql, values).fetchall()

    def one(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row, or None."""
        with _as_oserror(self.path):
            row: sqlite3.Row | None = self._connection().execute(sql, values).fetchone()
            return row

    def run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """One statement; the cursor tells lastrowid and rowcount."""
        with _as_oserror(self.path):
            return self._connection().execute(sql, values)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for each row, in one transaction."""
        with self.transaction(), _as_oserror(self.path):
            self._connection().executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Takes the write lock at once, so that what was read stays true until the commit."""
        with _as_oserror(self.path):
            connection = self._connection()
        if self._local.depth:
            with self._nested(connection):
                yield
            return
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise OSError("registry: another thread has been writing for too long")
        try:
            with _as_oserror(self.path):
                connection.execute("BEGIN IMMEDIATE")
            with self._nested(connection):
                yield
        finally:
            self._writing.release()

    @contextmanager
    def _nested(self, connection: sqlite3.Connection) -> Iterator[None]:
        """The outermost one commits."""
        self._local.depth += 1
        try:
            yield
        except BaseException:
            self._local.depth -= 1
            if self._local.depth == 0 and connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._local.depth -= 1
        if self._local.depth == 0:
            with _as_oserror(self.path):
                try:
                    connection.execute("COMMIT")
                except sqlite3.Error:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise

    def relax(self) -> None:
        """From now on this thread's commits do not wait for the disk: for records whose loss in a power cut
        costs nothing. What other threads commit later still puts them on the disk as well."""
        with _as_oserror(self.path):
            self._connection().execute("PRAGMA synchronous=NORMAL")

    def changes(self) -> tuple[int, int]:
        """A value that differs once anybody has committed something; costs microseconds, so it can be
        polled."""
        try:  # not `_as_oserror`, which takes longer than the rest: this is asked for every DHCP packet
            connection = self._connection()
            return connection.execute("PRAGMA data_version").fetchone()[0], connection.total_changes
        except sqlite3.DatabaseError as error:
            raise OSError(f"registry {self.path}: {error}") from error

    def close(self) -> None:
        """Close this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            found.close()
            self._local.connection = None


@contextmanager
def _as_oserror(path: Path) -> Iterator[None]:
    """SQLite's environment failures are OSErrors to the rest of the house; a broken rule of the schema is
    ours."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise as_oserror(error, path) or OSError(f"registry {path}: {error}") from error
