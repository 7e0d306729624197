"""The head of a patch set, which server and nodes agree on: magic, length of its index, the index.

Rows: new path, old path, offset from the end of the index, length, and how to pack what comes out
(repack.py). Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

from images.errors import BadInput
from images.repack import Recipe
from images.zstd import decompress_stream

MAGIC = b"BSPATCH1"
HEAD = struct.Struct("<8sI")


class Row(NamedTuple):
    """One patch; without `old`, the file by itself. With `repack` it is between what is inside the two files,
    which are zstd themselves.
    """

    new: str
    old: str
    offset: int
    length: int
    repack: Recipe | None = None


def rows(packed: bytes) -> Iterator[Row]:
    """The index, one at a time: all of them together may be 100 MB. Raises BadInput."""
    try:
        text = b"".join(decompress_stream([packed])).decode("ascii")
        place, decode = 1, json.JSONDecoder().raw_decode
        while text[:1] == "[" and text != "[]":
            row, place = decode(text, place)
            yield _row(*row)
            if text[place : place + 1] != ",":
                break
            place += 1
        if text[:1] != "[" or text[place:] != "]":
            raise ValueError("no list")
    except (ValueError, TypeError) as error:
        raise BadInput(f"patch set: damaged index: {error}") from error


def _row(new: str, old: str, offset: int, length: int, repack: list[int] | None = None) -> Row:
    recipe = (
        None if repack is None else Recipe(int(repack[0]), bool(repack[1]), int(repack[2]), int(repack[3]))
    )
    return Row(str(new), str(old), int(offset), int(length), recipe)
