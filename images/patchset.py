"""The head of a patch set, which server and nodes agree on: magic, length of its index, the index.

Rows: new path, old path, offset from the end of the index, length. Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import struct

from images.errors import BadInput
from images.zstd import decompress_stream

MAGIC = b"BSPATCH1"
HEAD = struct.Struct("<8sI")


def rows(packed: bytes) -> list[tuple[str, str, int, int]]:
    """The index. Raises BadInput."""
    try:
        listed = json.loads(b"".join(decompress_stream([packed])))
        return [(str(new), str(old), int(offset), int(length)) for new, old, offset, length in listed]
    except (ValueError, TypeError) as error:
        raise BadInput(f"patch set: damaged index: {error}") from error
