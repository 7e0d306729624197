"""Compression, which only the server does: one zstd frame per call, from any number of threads.

A frame that does not get smaller is kept as it is. Measured on a Debian root of 874 MB against level 3:
level 1 stores 6% more for a quarter less work, levels 6 and 9 store 5% and 6% less for twice the work.
Packs are made at level 3 with smaller tables, which stay in a processor's own cache: 0.5% more for a sixth
less work.
"""

from __future__ import annotations

import threading

import zstandard

from images.locator import RAW, ZSTD

LEVEL = 3
# Unpacked bytes of a frame, at most. 1 MiB stores 2% less, but a later version that shares half a frame
# fetches more.
FRAME = 512 << 10
_HASH, _CHAIN = 16, 14  # log2 of the tables' entries, of four bytes each: level 3 would take 17 and 16
_local = threading.local()


def compress(data: bytes) -> tuple[int, bytes]:
    """(codec, stored bytes) for one frame of a pack, whichever is smaller."""
    compressor: zstandard.ZstdCompressor | None = _local.__dict__.get("frames")
    if compressor is None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, source_size=FRAME, hash_log=_HASH, chain_log=_CHAIN, write_checksum=False,
            write_content_size=True,
        )  # fmt: skip
        compressor = _local.frames = zstandard.ZstdCompressor(compression_params=parameters)
    packed = compressor.compress(data)
    return (ZSTD, packed) if len(packed) < len(data) else (RAW, data)


def compress_after(before: bytes, data: bytes, level: int = LEVEL) -> bytes:
    """One zstd frame of `data` for who has the bytes `before` already; both are a few MiB at most."""
    reach = (len(before) + len(data)).bit_length()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=max(10, reach), source_size=len(before) + len(data), write_checksum=False,
        write_content_size=True,
    )  # fmt: skip
    prefix = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=prefix, compression_params=parameters).compress(data)


def zstd_frame(data: bytes, level: int = LEVEL) -> bytes:
    """One zstd frame. The size is written into it, a checksum is not: chunk ids do that."""
    compressors: dict[int, zstandard.ZstdCompressor] = _local.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(
            level=level, write_content_size=True, write_checksum=False
        )
    return compressors[level].compress(data)
