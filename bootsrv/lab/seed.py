"""Images for labs, imported once and kept: building a Debian root takes a minute, copying one takes a second.

The store is kept per state of the code and recipes that make images, so a changed recipe is never answered
with an old image. The import is the ordinary verb, run on the host's side where the mirror is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import images
from bootsrv.lab.errors import LabError

KEPT = 2  # older sets are removed
Say = Callable[[str], None]


def default_cache() -> Path:
    """Where kept stores are: beside the payloads."""
    return Path(sys.prefix) / "share" / "bootsrv" / "lab-images"


def seeded_store(recipes: Mapping[str, str], say: Say, cache: Path | None = None) -> Path:
    """A store with image NAME made from recipe RECIPE for each pair; it may hold more. Makes what is missing.

    Raises LabError when an import fails. Two callers at once: the second waits for the first.
    """
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / _key()
    busy = home / "busy"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if busy.exists():  # an import was cut short: version numbers would no longer be what they should
            shutil.rmtree(home)
        home.mkdir(exist_ok=True)
        for name, recipe in recipes.items():
            done = home / f"{name}={recipe}"
            if done.exists():
                say(f"image {name}: kept from an earlier run")
                continue
            say(f"image {name}: building it from recipe {recipe}")
            busy.touch()
            _import(home, name, recipe)
            done.touch()
            busy.unlink()
        os.utime(home)
        _tidy(cache)
    return home / "data" / "store"


def plant(store: Path, data: Path) -> None:
    """Copy a kept store into a data directory that has none yet, with its key: else nothing new could be
    signed. Shares blocks where the file system can."""
    data.mkdir(parents=True, exist_ok=True)
    _copy(store, data / "store")
    key = store.parent / "keys" / "signing.key"
    if key.exists():
        (data / "keys").mkdir(mode=0o700, exist_ok=True)
        _copy(key, data / "keys" / key.name)


def _copy(source: Path, target: Path) -> None:
    done = subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--", str(source), str(target)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"cannot copy {source}: {done.stderr.strip()}")


def _import(home: Path, name: str, recipe: str) -> None:
    config = home / "bootsrv.toml"
    config.write_text(f'data_dir = "{home / "data"}"\n')
    command = [sys.executable, "-m", "bootsrv.cli.main", "image", "import", name, "--recipe", recipe]
    done = subprocess.run(command, env={**os.environ, "BOOTSRV_CONFIG": str(config)}, check=False)
    if done.returncode:
        raise LabError(
            f"bootsrv image import {name} --recipe {recipe} failed with exit code {done.returncode}"
        )


def _key() -> str:
    room = Path(next(iter(images.__path__)))
    state = hashlib.sha256()
    code = [
        path for part in (".", "importing", "recipes") for path in (room / part).glob("*") if path.is_file()
    ]
    for path in sorted(code):
        state.update(str(path.relative_to(room)).encode() + b"\0" + path.read_bytes())
    return state.hexdigest()[:24]


def _tidy(cache: Path) -> None:
    homes = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for old in sorted(homes, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        # Renamed first: a removal that is cut short must not leave half a store that looks complete.
        grave = Path(tempfile.mkdtemp(prefix=".old-", dir=cache))
        shutil.rmtree(old.rename(grave / old.name).parent, ignore_errors=True)
