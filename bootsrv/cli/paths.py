"""Paths that are given on the command line."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click


class Existing(click.Path):
    """A path of something that is there. What this user may not look at is told so, as of every other file:
    click says that it does not exist."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Raises PermissionError."""
        with suppress(FileNotFoundError, NotADirectoryError):  # click's to tell
            Path(value).stat()
            if not os.access(value, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(value))
        return super().convert(value, param, ctx)
