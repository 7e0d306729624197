"""Directories that appear whole: what is made is made beside, and takes its place when all went well."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(root: Path, name: str) -> Iterator[Path]:
    """An empty directory that becomes `root`/`name` at the end, and is gone after an error."""
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    _tidy(root)
    new = Path(tempfile.mkdtemp(prefix=f".new-{os.getpid()}-", dir=root))
    try:
        new.chmod(0o755)
        yield new
        _readable(new)
        os.sync()  # the files first: what is there is whole
        old = root / f".gone-{name}"
        if (root / name).exists():
            shutil.rmtree(old, ignore_errors=True)
            (root / name).rename(old)
        new.rename(root / name)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _readable(folder: Path) -> None:
    """Whoever serves may read it, whatever umask we were called with."""
    for path, _, files in os.walk(folder):
        Path(path).chmod(0o755)
        for name in files:
            if not (Path(path) / name).is_symlink():
                (Path(path) / name).chmod(0o644)


def vanish(root: Path, name: str) -> None:
    """Take a directory away, at once for whoever looks."""
    aside = root / f".gone-{name}"
    shutil.rmtree(aside, ignore_errors=True)
    (root / name).rename(aside)
    shutil.rmtree(aside)


def _tidy(root: Path) -> None:
    """What a process that was killed has left."""
    for left in root.glob(".new-*"):
        owner = left.name.split("-")[1]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
