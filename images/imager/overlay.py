"""The small archive appended to the base imager: today's agent and the key that image manifests must be
signed by.

So a change of the agent, or another appliance's key, needs no rebuild of the imager. The server calls
`prepare` once at start and serves the result. The law: the agent's files are found by following its
imports, so that what runs on a node can never miss a module of this room, and holds none of the rooms
above.
"""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from images.errors import BadInput
from images.imager.cpio import Entry, archive, directory, file

ROOM = Path(__file__).parents[1]  # images/
START = "images.agent.__main__"
HOME = "usr/lib/bootsrv/agent"  # /init runs this directory
KEY = "etc/bootsrv/store.pub"
MAIN = b"from images.agent.__main__ import main\n\nmain()\n"


def prepare(imager: Path, out: Path, public_key: bytes) -> None:
    """Joins the imager in directory `imager` and a fresh overlay to the file `out`.

    BadInput when none is there.
    """
    base = imager / "initrd.img"
    if not base.exists():
        raise BadInput(f"{base} is missing: run `./run setup`")
    combine(base, overlay(public_key), out)


def overlay(public_key: bytes, extra: Mapping[str, bytes] | None = None) -> bytes:
    """The overlay's bytes. `extra`: more files, by path without leading slash."""
    sources = {f"{HOME}/{name}": source for name, source in agent_files().items()}
    contents = {KEY: public_key, **sources, f"{HOME}/__main__.py": MAIN, **(extra or {})}
    return b"".join(archive(_entries(contents)))


def combine(base: Path, addition: bytes, out: Path) -> None:
    """Writes `base` + `addition` to `out`, whole or not at all.

    Each part starts on a multiple of four bytes.
    """
    temporary = out.with_name(out.name + ".new")
    with base.open("rb") as source, temporary.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        target.write(bytes(-target.tell() % 4) + addition)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(out)


def agent_files() -> dict[str, bytes]:
    """Path (below the agent's directory) and source of each module of this room that the agent imports."""
    found: dict[str, bytes] = {}
    waiting = [START]
    while waiting:
        module = waiting.pop()
        path = _source(module)
        name = str(path.relative_to(ROOM.parent))
        if name in found:
            continue
        found[name] = path.read_bytes()
        waiting += _imports(found[name], name)
        parts = module.split(".")
        waiting += [".".join(parts[:n]) for n in range(1, len(parts))]
    return dict(sorted(found.items()))


def _imports(source: bytes, name: str) -> Iterator[str]:
    """Modules of this room named by import statements anywhere in the file."""
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == ROOM.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == ROOM.name:
            base = node.module or ""
            yield base
            yield from (f"{base}.{a.name}" for a in node.names if _exists(f"{base}.{a.name}"))


def _path(module: str) -> Path:
    return ROOM.parent.joinpath(*module.split("."))


def _exists(module: str) -> bool:
    path = _path(module)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _source(module: str) -> Path:
    path = _path(module)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _entries(contents: Mapping[str, bytes]) -> Iterator[Entry]:
    folders: set[str] = set()
    for name, data in sorted(contents.items()):
        for parent in reversed(Path(name).parents):
            if str(parent) not in (".", *folders):
                folders.add(str(parent))
                yield directory(str(parent))
        yield file(name, data)
