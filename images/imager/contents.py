"""Chooses from an extracted root what goes into the imager: the lists of contents.toml plus what those
files need.

Needed libraries are followed through the ELF files themselves, so the lists name programs only. The law:
a program that could not start (a missing library) or a pattern that keeps nothing fails the build, never
the node.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.errors import BadInput
from images.imager import elf
from images.imager.globs import compile_globs

LIBRARY_DIRS = tuple(
    f"usr/{folder}" for folder in ("lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu/systemd", "lib64", "lib")
)
CONTENTS = Path(__file__).with_name("contents.toml")


@dataclass(frozen=True)
class Contents:
    """contents.toml, read."""

    packages: tuple[str, ...]
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    dlopen: tuple[str, ...]
    directories: tuple[str, ...]
    links: Mapping[str, str]
    applets: tuple[str, ...]
    modules_keep: tuple[str, ...]
    modules_drop: tuple[str, ...]
    modules_hot: tuple[str, ...]
    boot_modules: tuple[str, ...]


def load(path: Path = CONTENTS) -> Contents:
    """The lists; KeyError for a missing one (a bug in the file, not in the machine)."""
    data: dict[str, Any] = tomllib.loads(path.read_text())
    files, modules = data["files"], data["modules"]
    return Contents(
        packages=tuple(data["packages"]),
        keep=tuple(files["keep"]),
        drop=tuple(files["drop"]),
        dlopen=tuple(files["dlopen"]),
        directories=tuple(files["directories"]),
        links=dict(data["links"]),
        applets=tuple(data["busybox"]["applets"]),
        modules_keep=tuple(modules["keep"]),
        modules_drop=tuple(modules["drop"]),
        modules_hot=tuple(modules["hot"]),
        boot_modules=tuple(data["boot"]["modules"]),
    )


def select(root: Path, contents: Contents) -> set[str]:
    """Relative paths of files and links to take from `root`, kernel modules not among them."""
    everything = list(walk(root))
    for pattern in contents.keep:
        matcher = compile_globs([pattern])
        if not any(matcher.fullmatch(path) for path in everything):
            raise BadInput(f"imager: no package holds {pattern}")
    keep, drop = compile_globs(contents.keep), compile_globs(contents.drop)
    chosen = {p for p in everything if keep.fullmatch(p) and not drop.fullmatch(p)}
    chosen |= {_find_library(root, name, "contents.toml") for name in contents.dlopen}
    return _with_libraries(root, chosen)


def walk(root: Path) -> Iterator[str]:
    """Every file and link below `root`, relative, unsorted; links are not followed."""
    for name, names, files in os.walk(root):
        folder = Path(name)
        base = folder.relative_to(root)
        yield from (str(base / file) for file in files)
        yield from (str(base / link) for link in names if (folder / link).is_symlink())


def _with_libraries(root: Path, chosen: set[str]) -> set[str]:
    done: set[str] = set()
    waiting = sorted(chosen)
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        full = root / path
        if full.is_symlink():
            waiting += _link_targets(root, full)
        elif full.is_file() and not path.endswith((".py", ".mod", ".img")):
            for name in elf.needed(full.read_bytes()):
                waiting.append(_find_library(root, name, path))
    return done


def _link_targets(root: Path, link: Path) -> Sequence[str]:
    """What a link inside the root points at, if that is in the root (libfoo.so.1 -> libfoo.so.1.2)."""
    target = link.readlink()
    full = root / str(target).lstrip("/") if target.is_absolute() else link.parent / target
    try:
        relative = full.resolve().relative_to(root.resolve())
    except ValueError:
        return ()
    return (str(relative),) if full.exists() and full.is_file() else ()


def _find_library(root: Path, name: str, wanted_by: str) -> str:
    for folder in LIBRARY_DIRS:
        if (root / folder / name).exists():
            return f"{folder}/{name}"
    raise BadInput(f"imager: {wanted_by} needs {name}, which is in none of the packages")
