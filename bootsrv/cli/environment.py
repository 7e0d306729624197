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
AS_ROOT = "run it as root (sudo)"
LITTLE = 16 << 20  # bytes: less than any of our writes needs


def at(error: OSError, target: Path, data: Path) -> OSError:
    """The same error; a full disk is that of `target`, of which an export's errors know only names in the
    image, or none. What lies below `data`, our own directory, is named already."""
    if error.errno not in FULL or _below(error.filename, data):
        return error
    return OSError(error.errno, error.strerror, str(target))


def _below(name: object, data: Path) -> bool:
    return isinstance(name, str) and Path(name).is_relative_to(data)


class EnvironmentFailed(BootsrvError):
    """The text is what `explained` made of an OSError."""


def explained(error: OSError, context: Context | None) -> str:
    """The line for an error."""
    text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if error.errno in REFUSED and os.geteuid() != 0:
        return f"{text}; {AS_ROOT}"
    if error.errno in FULL:
        return f"{text}; {_room(error, context)}"
    return text


def _room(error: OSError, context: Context | None) -> str:
    """What is full, and how to make room: by old versions only where the store may be what is full."""
    places, found = list(_places(error, context)), {}
    for place in places:
        with suppress(OSError):
            free = shutil.disk_usage(place).free
            if free < LITTLE:
                found[place] = f"{place} has {free >> 20} MiB left"
    where = ", ".join(found.values()) or "the disk that this writes to is full"
    data = _data(context)
    meant = list(found) or (places if error.filename else [])
    if meant and data is not None and not any(_one_disk(place, data) for place in meant):
        return f"{where}: make room there"
    versions = "old image versions: `bootsrv image prune`, then `image gc`"
    if data is not None and error.filename == str(data / "registry.db"):  # which these commands need as well
        return f"{where}: make a little room there by other files first, then more ({versions})"
    return f"{where}: make room there ({versions})"


def _one_disk(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.stat().st_dev == other.stat().st_dev
    return False


def _data(context: Context | None) -> Path | None:
    with suppress(ConfigError):
        return context.config.data_dir if context is not None else None
    return None


def _places(error: OSError, context: Context | None) -> Iterator[Path]:
    if error.filename:
        yield Path(os.fsdecode(error.filename)).parent
        return
    data = _data(context)
    if data is not None:
        yield data
    yield Path(tempfile.gettempdir())
    yield Path.cwd()
