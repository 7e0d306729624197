"""What an export fills: a directory, empty before, and after a failure as it was; or a file that its owner
alone may read, since an image holds password hashes and keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from images.errors import ImageConflict


def private(path: Path) -> BinaryIO:
    """That file, empty, whatever was there. Raises OSError."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


@contextmanager
def filled(target: Path) -> Iterator[None]:
    """`target` is made, or must be an empty directory. When the work raises, what it made is taken away, so
    that it can be tried again: all below `target`, and of `target` and its parents what was not there.

    Raises ImageConflict when it is not empty, OSError.
    """
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise ImageConflict(f"{target} is not empty")
    try:
        yield
    except BaseException:
        for path in target.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        with suppress(OSError):  # somebody else put something beside ours meanwhile: the folder stays
            for folder in made:
                folder.rmdir()
        raise
