"""Which files make the agent: found by following its imports from a start module.

Law: so what runs on a node can never miss a module of this room, and holds none of the rooms above. Used on
the server, by whoever packs an agent: the imager's overlay and the one-file agent.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).parents[1]  # images/


def agent_files(start: str) -> dict[str, bytes]:
    """Path (below the agent's directory) and source of `start` and each module of this room it imports."""
    found: dict[str, bytes] = {}
    waiting = [start]
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
