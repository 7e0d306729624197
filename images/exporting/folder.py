"""The directory that an export fills: empty before, and after a failure as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from images.errors import ImageConflict


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
