"""The first RAM disk of a diskless machine: the lean base, today's agent, and the modules of its own kernel.

Compressed as its kernel can unpack it: zstd from Linux 5.9 on, gzip before. The law: same inputs, same bytes.
"""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import zstandard

from images.agent.sources import agent_files
from images.imager.cpio import Entry, archive, contained, directory
from images.imager.overlay import HOME, KEY
from images.netroot.kernel import Kernel

START = "images.agent.netroot.__main__"
MAIN = b"from images.agent.netroot.__main__ import main\n\nmain()\n"
INIT = Path(__file__).with_name("init")
BOOT_KEY = "etc/bootsrv/boot.pub"  # what blocks of a root in memory and a node's own files are signed with
ZSTD_SINCE = (5, 9)
LEVEL, GZIP_LEVEL = 10, 6


def own_files(public_key: bytes, boot_key: bytes) -> dict[str, bytes]:
    """Today's agent and the keys, by path without leading slash."""
    sources = {f"{HOME}/{name}": source for name, source in agent_files(START).items()}
    return {**sources, f"{HOME}/__main__.py": MAIN, KEY: public_key, BOOT_KEY: boot_key}


def pack(base: list[Entry], modules: Path, own: Mapping[str, bytes], kernel: Kernel) -> bytes:
    """The whole RAM disk. `modules` is a directory as `modules.stage` made it."""
    raw = b"".join(archive(_entries(base, modules, own)))
    if kernel.number >= ZSTD_SINCE:
        return zstandard.ZstdCompressor(level=LEVEL).compress(raw)
    return gzip.compress(raw, GZIP_LEVEL, mtime=0)


def _entries(base: list[Entry], modules: Path, own: Mapping[str, bytes]) -> Iterator[Entry]:
    seen: set[str] = set()
    for entry in base:
        if entry.name not in own and entry.name not in ("init", "usr/lib/modules"):
            seen.add(entry.name)
            yield entry
    made = {"init": (INIT.read_bytes(), 0o755), **{name: (data, 0o644) for name, data in own.items()}}
    made |= {str(path.relative_to(modules)): (path.read_bytes(), 0o644) for path in _files(modules)}
    for name in ("proc", "sys", "run", "tmp", "root", "newroot", "mnt"):
        if name not in seen:
            seen.add(name)
            yield directory(name)
    yield from contained(made, seen)


def _files(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if stat.S_ISREG(Path(place, name).lstat().st_mode)
    )
