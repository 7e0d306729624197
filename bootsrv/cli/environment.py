"""What the system refuses, as one line for a person: which file, what about it, what to do.

The command line's edge for OSError. A full disk often comes without a path (a write knows only its
descriptor), so the places that commands write to are looked at.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bootsrv.cli.context import Context
from bootsrv.errors import BootsrvError, ConfigError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM)
LITTLE = 16 << 20  # bytes: less than any of our writes needs


class EnvironmentFailed(BootsrvError):
    """The text is what `explained` made of an OSError."""


def explained(error: OSError, context: Context | None) -> str:
    """The line for an error."""
    text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if error.errno in REFUSED and os.geteuid() != 0:
        return f"{text}; run it as root (sudo)"
    if error.errno in FULL:
        return f"{text}; {_room(error, context)}"
    return text


def _room(error: OSError, context: Context | None) -> str:
    """What is full, and how to make room."""
    found = []
    for place in _places(error, context):
        with suppress(OSError):
            free = shutil.disk_usage(place).free
            if free < LITTLE:
                found.append(f"{place} has {free >> 20} MiB left")
    where = ", ".join(dict.fromkeys(found)) or "the disk that this writes to is full"
    return f"{where}: make room there (old image versions: `bootsrv image prune`, then `image gc`)"


def _places(error: OSError, context: Context | None) -> Iterator[Path]:
    if error.filename:
        yield Path(os.fsdecode(error.filename)).parent
        return
    with suppress(ConfigError):
        if context is not None:
            yield context.config.data_dir
    yield Path(tempfile.gettempdir())
    yield Path.cwd()
