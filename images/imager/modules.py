"""Chooses kernel modules: directories worth having, what those depend on, and which to unpack for speed.

Debian compresses each module with xz. A module stays so (small in memory and on the wire; the kernel or
kmod unpacks it) unless it is "hot": one that a common machine loads at every boot. The law: a kept
module never misses a dependency; modules.dep decides, not the name.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from images.errors import BadInput
from images.imager.contents import Contents, walk
from images.imager.globs import compile_globs


@dataclass(frozen=True)
class Chosen:
    """One module to take: path below lib/modules/VERSION, and whether to unpack it."""

    path: str
    hot: bool


def kernel_version(root: Path) -> str:
    """The one kernel in the root; BadInput when there is none or more than one."""
    versions = sorted(p.parent.name for p in (root / "usr/lib/modules").glob("*/kernel"))
    if len(versions) != 1:
        raise BadInput(f"imager: expected one kernel, found {', '.join(versions) or 'none'}")
    return versions[0]


def parse_dependencies(text: str) -> dict[str, tuple[str, ...]]:
    """modules.dep: each module and the modules it needs."""
    pairs = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name.strip(): tuple(needs.split()) for name, _, needs in pairs}


def choose(names: Iterable[str], needs: Mapping[str, tuple[str, ...]], contents: Contents) -> list[Chosen]:
    """Modules to take, sorted, from paths such as kernel/fs/ext4/ext4.ko.xz."""
    keep = compile_globs(f"kernel/{p}" for p in contents.modules_keep)
    drop = compile_globs(f"kernel/{p}" for p in contents.modules_drop)
    hot = compile_globs(f"kernel/{p}" for p in contents.modules_hot)
    chosen: set[str] = set()
    waiting = [n for n in names if ".ko" in n and keep.fullmatch(n) and not drop.fullmatch(n)]
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += needs.get(name, ())
    return [Chosen(name, bool(hot.fullmatch(name))) for name in sorted(chosen)]


def stage(root: Path, target: Path, version: str, contents: Contents) -> int:
    """Copies the chosen modules to `target` (a lib/modules/VERSION elsewhere); returns how many.

    `depmod` must have run on `root`, and must run on the result: names change when modules are unpacked.
    """
    source = root / "usr/lib/modules" / version
    needs = parse_dependencies((source / "modules.dep").read_text())
    chosen = choose(walk(source), needs, contents)
    for module in chosen:
        raw = (source / module.path).read_bytes()
        name = module.path
        if module.hot and name.endswith(".xz"):
            raw, name = lzma.decompress(raw), name[: -len(".xz")]
        full = target / name
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(raw)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (target / name).write_bytes((source / name).read_bytes())
    return len(chosen)
