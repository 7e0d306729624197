"""Whether two files hold the same bytes where one has zeros and the other a hole.

The chunks of both are cut at other places then, so their lists cannot tell: the data is read. A file with
much of it is left at "content".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from images.manifest import Entry

MOST = 64 << 20  # bytes of data that are read of a file
_BLOCK = 4096
Read = Callable[[Entry], bytes]


def may_be_holes(old: Entry, new: Entry) -> bool:
    """Whether it is worth reading them."""
    return (
        old.extents != new.extents
        and old.size == new.size
        and all(sum(chunk.length for chunk in one.chunks) <= MOST for one in (old, new))
    )


def digest(entry: Entry, read: Read) -> bytes:
    """Of its blocks that are not all zeros, and where they are. Raises as `read`."""
    data, at, hasher = memoryview(read(entry)), 0, hashlib.sha256()
    number, block = 0, bytearray(_BLOCK)

    def done() -> None:
        if any(block):
            hasher.update(number.to_bytes(8, "big") + block)
            block[:] = bytes(_BLOCK)

    for offset, length in ((0, entry.size),) if entry.extents is None else entry.extents:
        end = offset + length
        while offset < end:
            if offset // _BLOCK != number:
                done()
                number = offset // _BLOCK
            inner = offset % _BLOCK
            some = min(_BLOCK - inner, end - offset)
            block[inner : inner + some] = data[at : at + some]
            at, offset = at + some, offset + some
    done()
    return hasher.digest()
