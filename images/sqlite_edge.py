"""SQLite where it meets the disk: what that refuses comes out as an OSError with the file's name, as from
every other file, so that whoever asked can say which disk is full. The index and the registry have it from
here.

A broken rule of the schema stays SQLite's own, and so does a damaged file (index.py makes that one anew).
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_LITTLE = 256 << 10  # bytes; SQLite asks for the memory beside the file in pieces of 32 KiB
_MEANS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO, sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}  # fmt: skip


def as_oserror(error: sqlite3.Error, path: Path) -> OSError | None:
    """What the disk said; None when the error is none of the disk's."""
    number = _MEANS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if number is None:
        return None
    if number != errno.ENOSPC:
        if not path.parent.is_dir():
            number = errno.ENOENT
        elif not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
            number = errno.EACCES
        elif shutil.disk_usage(path.parent).free < _LITTLE:  # it tells of other things then
            number = errno.ENOSPC
    return OSError(number, os.strerror(number), str(path))


class Connection(sqlite3.Connection):
    """As sqlite3's, with the disk's errors as OSErrors."""

    def __init__(self, path: Path | str, timeout: float) -> None:
        self._path = Path(path)
        try:
            super().__init__(path, timeout=timeout, check_same_thread=False)
        except sqlite3.Error as error:
            raise as_oserror(error, self._path) or error from error

    def execute(self, sql: str, given: Any = (), /) -> sqlite3.Cursor:
        """See sqlite3."""
        try:
            return super().execute(sql, given)
        except sqlite3.Error as error:
            raise as_oserror(error, self._path) or error from error

    def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        """See sqlite3."""
        try:
            return super().executemany(sql, rows)
        except sqlite3.Error as error:
            raise as_oserror(error, self._path) or error from error

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        """See sqlite3."""
        try:
            return super().executescript(script)
        except sqlite3.Error as error:
            raise as_oserror(error, self._path) or error from error

    def __exit__(self, *what: Any) -> Any:
        try:
            return super().__exit__(*what)
        except sqlite3.Error as error:
            raise as_oserror(error, self._path) or error from error
