"""What every importer hands its files to: stores bytes, collects entries, and notes what kind of system
this is.

Law: what is published is a root file system. No /etc is refused with one clear line; things that only make it
unbootable (no kernel) are warnings, kept in the version's `meta["warnings"]`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from images.chunker import Read
from images.errors import BadInput
from images.manifest import Chunk, Entry
from images.progress import Progress
from images.session import Session
from images.store import ImageStore
from images.telling import RELEASES, SHELLS
from images.versions import Version

_MACHINES = {0x3E: "amd64", 0xB7: "arm64", 0xF3: "riscv64", 0x03: "i386", 0x28: "armhf", 0x15: "ppc64el"}
_KERNEL = re.compile(rb"boot/vmlinu[xz]-(.+)\Z")
_STEP = 1 << 20


class Intake:
    """One import in progress. Single-threaded; use as a context manager."""

    def __init__(self, store: ImageStore, progress: Progress, total: int | None = None) -> None:
        self.session: Session = store.writer()
        self.tree = self.session.tree
        self.total = total
        self.done = 0  # bytes of data taken
        self.warnings: list[str] = []
        self._progress = progress
        self._told = 0
        self._telling = threading.Lock()  # a builder's own words come from another thread
        self._release = b""
        self._kernels: set[str] = set()
        self._architecture = ""

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *error: object) -> None:
        self.session.close()

    def data(self, entry: Entry, read: Read) -> tuple[Chunk, ...]:
        """Store a file's data and note what it tells; the caller makes the entry from it."""
        first = True

        def watched(size: int) -> bytes:
            nonlocal first
            piece = read(size)
            self._came(entry, piece, first)
            first = False
            return piece

        return self.session.put_stream(watched)

    def whole(self, entry: Entry, data: bytes) -> tuple[Chunk, ...]:
        """The same for data that was read already, all of it."""
        self._came(entry, data, True)
        return self.session.put_whole(data)

    def _came(self, entry: Entry, piece: bytes, first: bool) -> None:
        if first:
            self.look(entry.path, piece)
        self.came(len(piece), entry.path)

    def came(self, size: int, path: bytes) -> None:
        """So many bytes more were taken, the last of them for that path."""
        self.done += size
        if self.done - self._told > _STEP:
            self.tell(Entry(path, "file").name)

    def tell(self, what: str) -> None:
        """Report progress now."""
        with self._telling:
            self._told = self.done
            self._progress(self.done, self.total, what)

    def publish(
        self, name: str, comment: str, meta: Mapping[str, Any] | None, parent: str | None = None
    ) -> Version:
        """Check that this is a root, and publish it. Raises BadInput."""
        if not self.tree.has(b"etc"):
            raise BadInput(f"image {name}: this is no root file system, it has no /etc")
        facts: dict[str, Any] = {"os_release": parse_release(self._release)}
        kernels = sorted(kernel for kernel in self._kernels if self.tree.has(_kernel_path(kernel)))
        facts["kernels"] = kernels
        if self._architecture:
            facts["architecture"] = self._architecture
        if not kernels:
            self.warnings.append("no kernel in /boot: it cannot start from a disk by itself")
        if self.warnings:
            facts["warnings"] = self.warnings
        self.tell("publishing")
        return self.session.publish(name, comment, parent, meta={**facts, **(meta or {})})

    def telling(self, path: bytes) -> bool:
        """Whether a file's first bytes are worth a `look`."""
        return path in RELEASES or path in SHELLS or path.startswith(b"boot/vmlinu")

    def look(self, path: bytes, start: bytes) -> None:
        """Note what a file tells about the system by its path and its first bytes."""
        if path in RELEASES:
            self._release = start
        kernel = _KERNEL.match(path)
        if kernel:
            self._kernels.add(kernel[1].decode("utf-8", "replace"))
        if path in SHELLS and start[:4] == b"\x7fELF":
            order = "little" if start[5] == 1 else "big"
            machine = int.from_bytes(start[18:20], order)  # type: ignore[arg-type]
            self._architecture = _MACHINES.get(machine, "")


def _kernel_path(version: str) -> bytes:
    return b"boot/vmlinuz-" + version.encode()


def parse_release(text: bytes) -> dict[str, str]:
    """The fields of os-release(5) that people look at."""
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and key in ("ID", "VERSION_ID", "PRETTY_NAME", "VERSION_CODENAME"):
            found[key.lower()] = value.strip().strip("\"'")
    return found
