"""Packs bodies before they are sent: zstd where the machine has libzstd, else zlib.

Level 1 of either: a capture is meant to keep up with the disk, and the server packs anew with its own level.
Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import zlib
from functools import lru_cache
from typing import Any

from images import zstd
from images.capture.wire import RAW, ZLIB, ZSTD, Bytes, seal
from images.errors import ImageError

_LEVEL = 1


@lru_cache(maxsize=1)
def _library() -> Any:
    try:
        lib = zstd.library()
    except ImageError:
        return None
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    lib.ZSTD_compress.argtypes = (pointer, size, pointer, size, ctypes.c_int)
    lib.ZSTD_compress.restype = size
    lib.ZSTD_compressBound.argtypes = (size,)
    lib.ZSTD_compressBound.restype = size
    return lib


def packed(data: Bytes) -> bytes:
    """The sealed body of `data`, as small as level 1 makes it."""
    lib, data = _library(), bytes(data)
    codec, small = (ZLIB, zlib.compress(data, _LEVEL)) if lib is None else (ZSTD, _zstd(lib, data))
    return seal(codec, small, len(data)) if small and len(small) < len(data) else seal(RAW, data, len(data))


def _zstd(lib: Any, data: bytes) -> bytes:
    bound = lib.ZSTD_compressBound(len(data))
    out = ctypes.create_string_buffer(bound)
    size = lib.ZSTD_compress(out, bound, data, len(data), _LEVEL)
    return b"" if lib.ZSTD_isError(size) else ctypes.string_at(out, size)
