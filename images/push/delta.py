"""One zstd frame of large mapped contents, with another one as its prefix: libzstd by itself, since the
Python binding copies both.

zstd.h 1.5: ZSTD_CCtx_refPrefix refers to the prefix, and ZSTD_compress2 reads its input in place, so that
only the compressor's tables (some 40 MB at level 9) are memory.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

from images.errors import ImageError
from images.push.scratch import Scratch
from images.zstd import library

_LEVEL, _WINDOW_LOG, _LONG_DISTANCE = 100, 101, 160  # ZSTD_cParameter
PLAIN = 23  # window of a frame without prefix: 8 MiB, which whoever unpacks it has to hold
_FROM = 1 << 20  # bytes of a prefix from which long distance matching pays


@lru_cache(maxsize=1)
def _library() -> Any:
    lib = library()
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    lib.ZSTD_createCCtx.restype = pointer
    lib.ZSTD_freeCCtx.argtypes = (pointer,)
    lib.ZSTD_CCtx_setParameter.argtypes = (pointer, ctypes.c_int, ctypes.c_int)
    lib.ZSTD_CCtx_setParameter.restype = size
    lib.ZSTD_CCtx_refPrefix.argtypes = (pointer, pointer, size)
    lib.ZSTD_CCtx_refPrefix.restype = size
    lib.ZSTD_compress2.argtypes = (pointer, pointer, size, pointer, size)
    lib.ZSTD_compress2.restype = size
    lib.ZSTD_compressBound.argtypes = (size,)
    lib.ZSTD_compressBound.restype = size
    return lib


def window_log(size: int) -> int:
    """The window that a frame of so many bytes gets; more than 128 MiB no node has to hold."""
    return max(10, min(27, size.bit_length()))


def frame(folder: Path, old: Scratch | None, new: Scratch, level: int) -> Scratch:
    """The frame of `new`, in a scratch of its own. Raises ImageError, OSError."""
    lib = _library()
    out = Scratch.blank(folder, int(lib.ZSTD_compressBound(new.size)))
    context = lib.ZSTD_createCCtx()
    held: list[Any] = []
    try:
        if not context:
            raise MemoryError("zstd: no memory to compress")
        settings = {_LEVEL: level, _WINDOW_LOG: min(window_log(new.size), 27 if old is not None else PLAIN)}
        settings[_LONG_DISTANCE] = int(old is not None and old.size > _FROM)
        for key, value in settings.items():
            _checked(lib, lib.ZSTD_CCtx_setParameter(context, key, value))
        if old is not None and old.size:
            _checked(lib, lib.ZSTD_CCtx_refPrefix(context, _address(old, held), old.size))
        written = lib.ZSTD_compress2(
            context, _address(out, held), out.size, _address(new, held) if new.size else None, new.size
        )
        out.cut(_checked(lib, written))
    except BaseException:
        held.clear()
        out.close()
        raise
    finally:
        held.clear()  # or the mappings could not be closed
        lib.ZSTD_freeCCtx(context)
    return out


def _address(scratch: Scratch, held: list[Any]) -> int:
    view = (ctypes.c_char * 1).from_buffer(scratch.data)
    held.append(view)
    return ctypes.addressof(view)


def _checked(lib: Any, code: int) -> int:
    if lib.ZSTD_isError(code):
        raise ImageError("zstd: " + lib.ZSTD_getErrorName(code).decode("ascii", "replace"))
    return int(code)
