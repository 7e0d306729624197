"""In which order a version is read when a machine boots from it, so that the next boot finds it brought
already.

The first client's reads are noted for some minutes, each stretch of 64 KiB once, at its first use. Who
comes when the cache is cold (the server was restarted, the version is new on this server) has the same
stretches brought ahead of its questions.

    ROOT/traces/ID.trace    "BSTRACE1", then one u32 per stretch, little-endian
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from images.disk import write_file
from images.nbd.device import Device

SUFFIX = ".trace"
MAGIC = b"BSTRACE1"
STRETCH_BITS = 16
SECONDS = 180.0  # of a boot that are noted
MOST = 1 << 18  # stretches: 16 GiB
LEAST = 32  # stretches, or it was no boot


class Recording:
    """Notes one client's reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._seen: dict[int, None] = {}
        self._clock = clock
        self._until = clock() + SECONDS

    @property
    def over(self) -> bool:
        """Whether enough was seen."""
        return len(self._seen) >= MOST or self._clock() > self._until

    def note(self, offset: int, length: int) -> None:
        """A read."""
        seen = self._seen
        for stretch in range(offset >> STRETCH_BITS, (offset + length - 1 >> STRETCH_BITS) + 1):
            if stretch not in seen:
                seen[stretch] = None

    def save(self, path: Path) -> bool:
        """Keep it, when it is long enough to be a boot."""
        if len(self._seen) < LEAST:
            return False
        stretches = array("I", self._seen)
        if sys.byteorder == "big":
            stretches.byteswap()
        write_file(path, MAGIC + stretches.tobytes())
        return True


def load(path: Path) -> list[int]:
    """The stretches in order; none when there is no trace, or a damaged one: it only saves time."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if not data.startswith(MAGIC) or len(data) % 4:
        return []
    stretches = array("I", data[len(MAGIC) :])
    if sys.byteorder == "big":
        stretches.byteswap()
    return list(stretches)


def ahead(device: Device, stretches: list[int], stopped: Callable[[], bool]) -> int:
    """Bring what a boot will ask for, in its order; how many stretches were not there. For a thread of its
    own.

    Raises as `Device.bring`: a damaged chunk ends it, and is told to whoever asks for it.
    """
    brought = 0
    for stretch in stretches:
        start = stretch << STRETCH_BITS
        end = min(start + (1 << STRETCH_BITS), device.size)
        if stopped() or start >= end:
            break
        while (block := device.locate(start, end - start)[0]) is not None and not stopped():
            device.bring(block, end)
            brought += 1
    return brought
