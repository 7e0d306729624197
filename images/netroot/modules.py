"""The image's own kernel modules that a machine needs until its root is mounted, unpacked and indexed.

Compressed modules are unpacked (the whole archive is compressed once), and `depmod` makes their index: what
the kernel asks for by alias is found on the node as in a full system. Firmware that a chosen driver names and
that the image has comes along. The law: a kept module never misses a dependency.
"""

from __future__ import annotations

import gzip
import lzma
import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from images.errors import BadInput
from images.imager.globs import compile_globs
from images.imager.modules import parse_dependencies
from images.netroot.kernel import Kernel
from images.netroot.treefiles import TreeFiles

LISTS = Path(__file__).with_name("modules.toml")
_FIRMWARE = re.compile(rb"\0firmware=([\x21-\x7e]{1,200})(?=\0)")
_KO = re.compile(r"(.*/)?([^/]+)\.ko(\.(?:xz|zst|gz))?\Z")
MOST_FIRMWARE = 64 << 20  # bytes; a driver that names all its generations' would fill the RAM disk


@dataclass(frozen=True, slots=True)
class Lists:
    """modules.toml, read."""

    keep: tuple[str, ...]
    drop: tuple[str, ...]
    boot: tuple[str, ...]


def load(path: Path = LISTS) -> Lists:
    """The lists; KeyError for a missing one (a bug in the file)."""
    data = tomllib.loads(path.read_text())
    return Lists(tuple(data["keep"]), tuple(data["drop"]), tuple(data["boot"]))


def module_name(path: str) -> str | None:
    """kernel/fs/overlayfs/overlay.ko.xz is called overlay; None for what is no module."""
    found = _KO.match(path)
    return found[2].replace("-", "_") if found else None


def choose(names: Iterable[str], needs: Mapping[str, tuple[str, ...]], lists: Lists) -> list[str]:
    """Modules to take, sorted, of paths below lib/modules/VERSION; `needs` as modules.dep says it."""
    keep = compile_globs(f"kernel/{pattern}" for pattern in lists.keep)
    drop = compile_globs(f"kernel/{pattern}" for pattern in lists.drop)
    chosen: set[str] = set()
    waiting = [n for n in names if module_name(n) and keep.fullmatch(n) and not drop.fullmatch(n)]
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += needs.get(name, ())
    return sorted(chosen)


def stage(files: TreeFiles, kernel: Kernel, target: Path) -> set[str]:
    """Put the modules and their firmware below `target` (usr/lib/modules/..., usr/lib/firmware/...); returns
    the names of all modules that the kernel then has, built in or loaded. Raises BadInput, OSError."""
    base = f"{kernel.modules}/"
    names = [name.removeprefix(base) for name in files.names if name.startswith(base)]
    if "modules.dep" not in names:
        raise BadInput(f"/{base}modules.dep is missing: run depmod in the image (`bootsrv image edit`)")
    lists, texts = load(), {}
    for name, data in files.read(base + n for n in ("modules.dep", "modules.builtin") if n in names):
        texts[name.removeprefix(base)] = data.decode("utf-8", "replace")
    chosen = choose(names, parse_dependencies(texts["modules.dep"]), lists)
    folder, wanted = target / "usr/lib/modules" / kernel.version, set()
    for name, data in files.read(base + n for n in chosen if n in names):
        raw = unpack(data, name)
        path = folder / _KO.sub(r"\1\2.ko", name.removeprefix(base))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        wanted |= {found.decode("ascii") for found in _FIRMWARE.findall(raw)}
    _firmware(files, wanted, target)
    _index(files, names, base, folder, target, kernel.version)
    built_in = texts.get("modules.builtin", "").splitlines()
    return {found for name in [*chosen, *built_in] if (found := module_name(name))}


def unpack(data: bytes, name: str) -> bytes:
    """A module's bytes, however the image compresses it. Raises BadInput."""
    try:
        if name.endswith(".xz"):
            return lzma.decompress(data)
        if name.endswith(".gz"):
            return gzip.decompress(data)
        if name.endswith(".zst"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (lzma.LZMAError, OSError, EOFError, zstandard.ZstdError) as error:
        raise BadInput(f"/{name} cannot be unpacked: {error}") from error
    return data


def _index(files: TreeFiles, names: list[str], base: str, folder: Path, target: Path, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lists = ("modules.builtin", "modules.builtin.modinfo", "modules.order", "modules.softdep")
    for name, data in files.read(base + n for n in lists if n in names):
        (folder / name.removeprefix(base)).write_bytes(data)
    (target / "lib").symlink_to("usr/lib")  # where depmod looks
    try:
        done = subprocess.run(["depmod", "-b", str(target), version], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BadInput("depmod is missing on this machine; install the package kmod") from error
    if done.returncode:
        raise BadInput(f"depmod failed: {done.stderr.strip()[-300:]}")
    (target / "lib").unlink()


def _firmware(files: TreeFiles, wanted: set[str], target: Path) -> None:
    """Files keep their own compression: a kernel that the image's firmware is compressed for unpacks it."""
    roots = ("usr/lib/firmware", "lib/firmware")
    there = set(files.names)
    found = {
        path: name + suffix
        for name in wanted
        for suffix in ("", ".xz", ".zst")
        for root in roots
        if (path := f"{root}/{name}{suffix}") in there
    }
    total = 0
    for path, data in files.read(found):
        total += len(data)
        if total > MOST_FIRMWARE:
            return
        place = target / "usr/lib/firmware" / found[path]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
