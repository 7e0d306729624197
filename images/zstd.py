"""Decompression for the node: libzstd through ctypes, because its Python may have nothing but the standard
library.

Law: the output size is bounded by what the caller says it expects; damaged input is `BadInput`, never a
crash. Calls into the library release the interpreter lock, so frames decompress beside the network.

Python 3.8, standard library only. Compression lives in compress.py, on the server alone.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from images.errors import BadInput, ImageError
from images.soname import candidates

_STEP = 1 << 18
_local = threading.local()
_WINDOW_LOG_MAX, _LARGEST_WINDOW = (
    100,
    28,
)  # ZSTD_d_windowLogMax; 256 MiB bounds what a patch may make us hold
# An object that nobody else has yet, to be filled once: a buffer of ctypes would be cleared before and copied
# afterwards. (The empty one is shared; nothing is written to it.)
_blank_bytes = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


@lru_cache(maxsize=1)
def library() -> Any:
    """libzstd with the calls' types declared. Raises ImageError where there is none."""
    for name in candidates("zstd", "libzstd.so.1"):
        try:
            lib = ctypes.CDLL(name)
        except OSError:
            continue
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        lib.ZSTD_isError.argtypes = (size,)
        lib.ZSTD_isError.restype = ctypes.c_uint
        lib.ZSTD_getErrorName.argtypes = (size,)
        lib.ZSTD_getErrorName.restype = ctypes.c_char_p
        lib.ZSTD_createDStream.restype = pointer
        lib.ZSTD_freeDStream.argtypes = (pointer,)
        lib.ZSTD_decompressStream.argtypes = (pointer, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer))
        lib.ZSTD_decompressStream.restype = size
        lib.ZSTD_DCtx_setParameter.argtypes = (pointer, ctypes.c_int, ctypes.c_int)
        lib.ZSTD_DCtx_setParameter.restype = size
        lib.ZSTD_DCtx_refPrefix.argtypes = (pointer, pointer, size)
        lib.ZSTD_DCtx_refPrefix.restype = size
        lib.ZSTD_decompressDCtx.argtypes = (pointer, pointer, size, pointer, size)
        lib.ZSTD_decompressDCtx.restype = size
        return lib
    raise ImageError("libzstd.so.1 is missing on this machine; install the package libzstd1")


def _checked(lib: Any, code: int) -> int:
    if lib.ZSTD_isError(code):
        raise BadInput("zstd: " + lib.ZSTD_getErrorName(code).decode("ascii", "replace"))
    return int(code)


def decompress(frame: bytes, size: int) -> bytes:
    """One whole frame of exactly `size` bytes. Raises BadInput when it is damaged or has another size."""
    lib = library()
    out: bytes = _blank_bytes(None, size)
    written = _checked(lib, lib.ZSTD_decompressDCtx(_context(lib), out, size, bytes(frame), len(frame)))
    if written != size:
        raise BadInput(f"zstd: {written} bytes came out where {size} were promised")
    return out


def decompress_after(frame: bytes, size: int, before: bytes) -> bytes:
    """The same for a frame that was made with the bytes `before` in front of it."""
    lib = library()
    context = _context(lib)
    out: bytes = _blank_bytes(None, size)
    _checked(lib, lib.ZSTD_DCtx_refPrefix(context, before, len(before)))  # for one frame
    written = _checked(lib, lib.ZSTD_decompressDCtx(context, out, size, bytes(frame), len(frame)))
    if written != size:
        raise BadInput(f"zstd: {written} bytes came out where {size} were promised")
    return out


def _context(lib: Any) -> Any:
    """This thread's own: making one costs more than a small frame does."""
    kept: _Context | None = _local.__dict__.get("context")
    if kept is None:
        kept = _local.context = _Context(lib)
    return kept.handle


class _Context:
    """Freed with its thread."""

    def __init__(self, lib: Any) -> None:
        self._free, self.handle = lib.ZSTD_freeDStream, lib.ZSTD_createDStream()
        if not self.handle:
            raise MemoryError("zstd: no memory to unpack")

    def __del__(self) -> None:
        self._free(self.handle)


def decompress_into(out: Any, frame: bytes, prefix: mmap.mmap) -> None:
    """The same for a frame that was made with `prefix` before it, into a mapping of exactly its size: nothing
    of either has to be held in memory of ours, as a stream would. Both must be writable (private will do).
    """
    lib = library()
    context = lib.ZSTD_createDStream()
    if not context:
        raise MemoryError("zstd: no memory to unpack")
    before = target = None
    try:
        before = (ctypes.c_char * len(prefix)).from_buffer(prefix)
        target = (ctypes.c_char * len(out)).from_buffer(out)
        _checked(lib, lib.ZSTD_DCtx_refPrefix(context, ctypes.addressof(before), len(prefix)))
        call = lib.ZSTD_decompressDCtx(context, ctypes.addressof(target), len(out), frame, len(frame))
        if _checked(lib, call) != len(out):
            raise BadInput(f"zstd: {call} bytes came out where {len(out)} were promised")
    finally:
        lib.ZSTD_freeDStream(context)
        before = target = None  # or the mappings could not be closed


def decompress_stream(pieces: Iterable[bytes], prefix: Any = None) -> Iterator[bytes]:
    """A stream of any size, in constant memory. Raises BadInput on damage or a cut-off end.

    `prefix`: a writable buffer (a private mapping will do) with what the stream's compressor had as prefix,
    as `zstd --patch-from` does; the stream is one frame then.
    """
    lib = library()
    stream = lib.ZSTD_createDStream()
    if not stream:
        raise MemoryError("zstd: no memory for a stream")
    before = None
    if prefix is not None:
        before = (ctypes.c_char * len(prefix)).from_buffer(prefix)
        _checked(lib, lib.ZSTD_DCtx_setParameter(stream, _WINDOW_LOG_MAX, _LARGEST_WINDOW))
        _checked(lib, lib.ZSTD_DCtx_refPrefix(stream, ctypes.addressof(before), len(prefix)))
    out = ctypes.create_string_buffer(_STEP)
    left = 1  # what the library hints is missing; 0 at a frame's end
    try:
        for piece in pieces:
            held = ctypes.create_string_buffer(piece, len(piece))
            source = _Buffer(ctypes.cast(held, ctypes.c_void_p), len(piece), 0)
            while True:  # until all input is taken and the library holds no output back
                target = _Buffer(ctypes.cast(out, ctypes.c_void_p), _STEP, 0)
                call = lib.ZSTD_decompressStream(stream, ctypes.byref(target), ctypes.byref(source))
                left = _checked(lib, call)
                if target.pos:
                    yield ctypes.string_at(out, target.pos)
                if source.pos == source.size and target.pos < _STEP:
                    break
    finally:
        lib.ZSTD_freeDStream(stream)
        before = None  # or the mapping could not be closed
    if left:
        raise BadInput("zstd: the stream ends in the middle")
