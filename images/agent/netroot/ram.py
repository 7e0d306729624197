"""A root in memory: fetched once over HTTP, each block checked before the next one is asked for.

The file lies in a tmpfs of its own, so that it is neither swapped for the system's own use of /run nor
counted against it. The law: a block that does not match what the server signed is fetched once more, then
the boot stops and says which block it was. Python 3.8, standard library only.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Tuple

from images.agent.client import Client
from images.agent.netroot import blocks
from images.errors import ChunkCorrupt

PIECE = 8  # blocks that are asked for at once
Progress = Callable[[int, int, float], None]


def fetch(client: Client, where: str, listed: blocks.Blocks, target: Path, progress: Progress) -> int:
    """Writes the root to the file `target`; how many bytes were sent for it. Raises ChunkCorrupt, Refused,
    OSError."""
    received, started, done, count = 0, time.monotonic(), 0, -(-listed.size // listed.block)
    with target.open("wb") as out:
        for first in range(0, count, PIECE):
            last = min(first + PIECE, count)
            data, attempts = _checked(client, where, listed, first, last)
            received += len(data) * attempts
            out.write(data)
            done += len(data)
            progress(done, listed.size, done / max(time.monotonic() - started, 0.001))
    return received


def _checked(
    client: Client, where: str, listed: blocks.Blocks, first: int, last: int
) -> Tuple[bytes, int]:  # fmt: skip
    """The bytes, and at which attempt they came."""
    start = first * listed.block
    length = min(last * listed.block, listed.size) - start
    for attempt in (1, 2):
        data = client.get_range(where, start, length)
        view = memoryview(data)
        try:
            for number in range(first, last):
                at = (number - first) * listed.block
                listed.check(number, view[at : at + listed.block].tobytes())
        except ChunkCorrupt:
            if attempt == 2:
                raise
            continue
        return data, attempt
    raise AssertionError("the second attempt returns or raises")
