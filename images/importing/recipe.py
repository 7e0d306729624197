"""Recipes: small TOML files that say how a root file system is made from Debian's packages.

    description, suite, components, variant, packages, kernel_args   what to build
    base = "NAME"             start from another recipe: lists are joined, other values replaced
    leave_out = ["/usr/..."]  paths that dpkg does not unpack
    files = { "/path" = { content = "...", mode = 0o644 } }          written after the packages
    run = [["systemctl", "enable", "ssh"]]                           argument lists, run inside, no shell

Law: unknown keys are refused; no machine's name, secret or key is in a recipe or in what it makes (see
recipe_hook.py). Reading only; building is in recipe_build.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from images.errors import BadInput, ImageNotFound
from images.versions import check_name

FOLDER = Path(__file__).parent.parent / "recipes"
_DEEP = 5  # recipes based on recipes


@dataclass(frozen=True, slots=True)
class File:
    """A file to write: text and mode."""

    content: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe, its bases already merged in."""

    name: str
    suite: str = ""
    description: str = ""
    variant: str = "minbase"
    kernel_args: str = ""
    components: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    run: tuple[tuple[str, ...], ...] = ()
    files: Mapping[str, File] = field(default_factory=dict)


def names(folder: Path = FOLDER) -> list[str]:
    """The recipes that come with the program."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(recipe: str | Path, folder: Path = FOLDER) -> Recipe:
    """A recipe by its name, or from a file of your own. Raises ImageNotFound, BadInput with file and key."""
    path = recipe if isinstance(recipe, Path) else folder / f"{check_name(recipe, 'recipe')}.toml"
    made = _parse(path.stem, _merged(path, folder, _DEEP), path)
    if not made.suite or not made.packages:
        raise BadInput(f"{path}: suite and packages are needed")
    return made


def _merged(path: Path, folder: Path, deep: int) -> dict[str, Any]:
    try:
        row = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if path.parent != folder:
            raise ImageNotFound(f"{path}: there is no such recipe file") from None
        known = ", ".join(names(folder))
        raise ImageNotFound(f"there is no recipe {path.stem!r}; there are: {known}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise BadInput(f"{path}: {err}") from err
    base = row.pop("base", None)
    if base is None:
        return row
    if not deep or not isinstance(base, str):
        raise BadInput(f"{path}: base: {base!r} is no recipe's name, or a loop")
    merged = _merged(folder / f"{check_name(base, 'recipe')}.toml", folder, deep - 1)
    for key, value in row.items():
        old = merged.get(key)
        if isinstance(old, list) and isinstance(value, list):
            merged[key] = old + value
        elif isinstance(old, dict) and isinstance(value, dict):
            merged[key] = {**old, **value}
        else:
            merged[key] = value
    return merged


def _parse(name: str, row: dict[str, Any], path: Path) -> Recipe:
    known = {one.name for one in fields(Recipe)} - {"name"}
    for key, value in row.items():
        if key not in known:
            raise BadInput(f"{path}: {key}: unknown key; known are {', '.join(sorted({*known, 'base'}))}")
        text = key in ("suite", "description", "variant", "kernel_args")
        if not isinstance(value, str if text else dict if key == "files" else list):
            raise BadInput(f"{path}: {key}: has the wrong type")
    for key in ("components", "packages", "leave_out"):
        row[key] = tuple(_words(row.get(key, []), path, key))
    row["run"] = tuple(tuple(_words(one, path, "run")) for one in row.get("run", []))
    row["files"] = {where: _file(where, one, path) for where, one in row.get("files", {}).items()}
    return Recipe(name, **row)


def _words(value: Any, path: Path, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise BadInput(f"{path}: {key}: a list of texts is needed")
    return value


def _file(where: str, row: Any, path: Path) -> File:
    fitting = isinstance(row, dict) and isinstance(row.get("content"), str)
    if not fitting or not where.startswith("/") or ".." in where.split("/"):
        raise BadInput(f"{path}: files: {where!r} needs an absolute path and content")
    extra = set(row) - {"content", "mode"}
    mode = row.get("mode", 0o644)
    if extra or type(mode) is not int or not 0 <= mode <= 0o7777:
        raise BadInput(f"{path}: files: {where!r}: only content and mode, an octal number")
    return File(row["content"], mode)
