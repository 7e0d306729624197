"""A zstd file taken apart and put together again to the very same bytes, so that a patch can be made of what
is in it: between two kernels' initramfs that are 30 MB each, three quarters of the bytes that would cross the
wire.

The law: only exact output counts. It depends on the library's version, so a recipe names it, and a machine
with another one does without (its hash check would find out anyway). Parameters are those of the zstd
program, which compresses with one worker. Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from images.errors import BadInput, ImageError
from images.zstd import decompress_stream, library

MAGIC = b"\x28\xb5\x2f\xfd"
LEVELS = (9, 19, 3)  # Debian's initramfs-tools, dracut and mkinitcpio, the program's default
_LEVEL, _CHECKSUM, _WORKERS = 100, 201, 400  # ZSTD_cParameter
_CONTINUE, _END = 0, 2
_STEP = 1 << 18


class Recipe(NamedTuple):
    """How the file was compressed; `version` of the library (10504 is 1.5.4), `size` of what is in it."""

    level: int
    checksum: bool
    version: int
    size: int


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


def version() -> int:
    """Of this machine's libzstd."""
    return int(library().ZSTD_versionNumber())


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What is in the file. Raises BadInput."""
    return decompress_stream(pieces)


def find(packed: bytes | mmap.mmap, raw: bytes | mmap.mmap) -> Recipe | None:
    """The recipe that makes exactly `packed` from `raw`; None when none of ours does."""
    if packed[: len(MAGIC)] != MAGIC or len(packed) < 6:
        return None
    for level in LEVELS:
        recipe = Recipe(level, bool(packed[4] & 4), version(), len(raw))
        place = 0
        for piece in compress([raw], recipe):
            if packed[place : place + len(piece)] != piece:
                break
            place += len(piece)
        else:
            if place == len(packed):
                return recipe
    return None


def compress(pieces: Iterable[bytes | mmap.mmap], recipe: Recipe) -> Iterator[bytes]:
    """The file again. Raises ImageError when this machine's library is another one."""
    lib = library()
    if version() != recipe.version:
        raise ImageError(f"this machine's libzstd is {version()}, the file was made by {recipe.version}")
    context = _context(lib, recipe)
    out = ctypes.create_string_buffer(_STEP)
    try:
        for piece in pieces:
            for start in range(0, len(piece), _STEP):
                yield from _feed(lib, context, out, piece[start : start + _STEP], _CONTINUE)
        yield from _feed(lib, context, out, b"", _END)
    finally:
        lib.ZSTD_freeCCtx(context)


def _context(lib: Any, recipe: Recipe) -> Any:
    lib.ZSTD_createCCtx.restype = ctypes.c_void_p
    lib.ZSTD_freeCCtx.argtypes = (ctypes.c_void_p,)
    lib.ZSTD_CCtx_setParameter.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    lib.ZSTD_CCtx_setParameter.restype = ctypes.c_size_t
    lib.ZSTD_CCtx_setPledgedSrcSize.argtypes = (ctypes.c_void_p, ctypes.c_ulonglong)
    lib.ZSTD_CCtx_setPledgedSrcSize.restype = ctypes.c_size_t
    lib.ZSTD_compressStream2.argtypes = (
        ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer), ctypes.c_int,
    )  # fmt: skip
    lib.ZSTD_compressStream2.restype = ctypes.c_size_t
    context = lib.ZSTD_createCCtx()
    if not context:
        raise MemoryError("zstd: no memory to compress")
    # A second worker would take 50 MB more, and what goes on beside this wants a processor, too.
    for key, value in ((_LEVEL, recipe.level), (_CHECKSUM, int(recipe.checksum)), (_WORKERS, 1)):
        _checked(lib, lib.ZSTD_CCtx_setParameter(context, key, value))
    _checked(lib, lib.ZSTD_CCtx_setPledgedSrcSize(context, recipe.size))
    return context


def _feed(lib: Any, context: Any, out: Any, data: bytes, how: int) -> Iterator[bytes]:
    held = ctypes.create_string_buffer(data, max(len(data), 1))
    source = _Buffer(ctypes.cast(held, ctypes.c_void_p), len(data), 0)
    while True:
        target = _Buffer(ctypes.cast(out, ctypes.c_void_p), _STEP, 0)
        left = lib.ZSTD_compressStream2(context, ctypes.byref(target), ctypes.byref(source), how)
        _checked(lib, left)
        if target.pos:
            yield ctypes.string_at(out, target.pos)
        if source.pos == source.size and (how == _CONTINUE or not left):
            return


def _checked(lib: Any, code: int) -> None:
    if lib.ZSTD_isError(code):
        raise BadInput("zstd: " + lib.ZSTD_getErrorName(code).decode("ascii", "replace"))
