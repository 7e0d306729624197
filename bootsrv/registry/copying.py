"""A copy of the registry in one file, as it is at one moment, while everybody goes on writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from images.sqlite_edge import as_oserror


def copy_to(registry: Path, target: Path) -> None:
    """Write `target`, readable by its owner alone. Raises OSError."""
    target.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(registry, timeout=15)) as source, closing(sqlite3.connect(target)) as to:
            source.backup(to)
    except sqlite3.Error as error:
        if refused := as_oserror(error, registry):
            raise refused from error
        raise OSError(f"registry: {registry} cannot be copied: {error}") from error
