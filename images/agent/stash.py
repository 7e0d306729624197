"""What is worth keeping of disks that are about to be partitioned anew: chunks, copied into memory.

Used where a layout changes, so that the old file systems cannot stay. They are mounted read-only, without
even their journals being replayed; every chunk is checked when it is taken and again when it is used. The
law: it takes at most a third of the memory that is free, and whatever goes wrong only means that more is
fetched. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Callable

from images.agent.present import filesystem
from images.agent.run import CommandFailed, run
from images.agent.seed import Bed, Seed
from images.manifest import Chunk, Entry

READ_ONLY = {"ext4": "ro,noload", "xfs": "ro,norecovery,nouuid", "btrfs": "ro"}
OLD = Path("/mnt/old")
SHARE = 3  # of the free memory, one part
MEMINFO = Path("/proc/meminfo")
SYS_BLOCK = Path("/sys/block")


class Stash:
    """Chunks in a file of the RAM system. Serves a tree's writer as a `Seed` does, but never whole files."""

    def __init__(self, file: Path, budget: int) -> None:
        self._handle = os.open(str(file), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._room = budget
        self._where: dict[bytes, int] = {}
        self._end = 0
        self.reused = 0
        self.bytes = 0

    def __len__(self) -> int:
        """Bytes held."""
        return self._end

    def gather(self, root: Path, entries: Iterable[Entry], wanted: Container[bytes]) -> None:
        """Takes what a mounted tree has of the `wanted` chunks, as long as there is room."""
        rows = list(entries)
        seed = Seed([Bed(root)], root)
        try:
            seed.learn(rows, wanted)
            for chunk in (c for entry in rows for c in entry.chunks):
                if chunk.id in self._where or not seed.holds(chunk.id):
                    continue
                if self._end + chunk.length > self._room:
                    return
                data = seed.read(chunk)
                if data is not None:
                    os.pwrite(self._handle, data, self._end)
                    self._where[chunk.id] = self._end
                    self._end += chunk.length
        finally:
            seed.close()

    def holds(self, id: bytes) -> bool:
        """Whether the chunk was kept."""
        return id in self._where

    def read(self, chunk: Chunk) -> bytes | None:
        """The chunk's bytes, checked; None when they do not match any more."""
        data = os.pread(self._handle, chunk.length, self._where[chunk.id])
        if hashlib.sha256(data).digest() != chunk.id:
            return None
        self.bytes += len(data)
        return data

    def take(self, entry: Entry, name: bytes, parent: int) -> bool:
        """Never: memory has no files to move."""
        return False

    def close(self) -> None:
        """Gives the memory back."""
        os.ftruncate(self._handle, 0)
        os.close(self._handle)


def free_memory(file: Path = MEMINFO) -> int:
    """Bytes that a stash may take."""
    for line in file.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 // SHARE
    return 0


def old_trees(disks: Sequence[str], say: Callable[[str], None]) -> Iterable[Path]:
    """Mounts each old file system of the disks read-only in turn; what cannot be mounted is passed over."""
    for disk in disks:
        folder = SYS_BLOCK / Path(disk).name
        for part in sorted(p.name for p in folder.glob(f"{folder.name}*") if (p / "partition").exists()):
            device = f"/dev/{part}"
            options = READ_ONLY.get(filesystem(device).get("TYPE", ""))
            if options is None:
                continue
            OLD.mkdir(parents=True, exist_ok=True)
            try:
                run(["mount", "-o", options, device, str(OLD)])
            except CommandFailed as error:
                say(f"{device} is not looked at: {error}")
                continue
            try:
                yield OLD
            finally:
                run(["umount", str(OLD)])
