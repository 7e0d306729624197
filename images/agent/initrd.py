"""Looks into an initramfs, and makes the small archive that is appended to one.

The kernel unpacks any number of archives in a row, compressed or not (Linux Documentation/driver-api/
early-userspace/buffer-format.rst), so files are added without making the whole anew, which takes a
minute on a slow machine. Pure but for libzstd. Python 3.8, standard library only.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Mapping

from images.errors import BadInput
from images.imager.cpio import archive, contained
from images.zstd import decompress_stream

CPIO, GZIP, XZ, ZSTD = b"070701", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
HEAD = 110  # bytes of a newc header


def names(data: bytes) -> set[str]:
    """Every name in an initramfs, early archives (microcode) included. BadInput when it cannot be read."""
    found: set[str] = set()
    at = 0
    while at < len(data):
        if data[at : at + 1] == b"\0":
            at += 1
        elif data.startswith(CPIO, at):
            at = _walk(data, at, found)
        else:
            packed = data[at:]
            found |= names(_unpack(packed))
            break
    return found


def _walk(data: bytes, at: int, found: set[str]) -> int:
    """One archive from `at`; where it ends."""
    while data.startswith(CPIO, at):
        if at + HEAD > len(data):
            break
        size, length = int(data[at + 54 : at + 62], 16), int(data[at + 94 : at + 102], 16)
        name = data[at + HEAD : at + HEAD + length - 1].decode("utf-8", "replace")
        at += (HEAD + length + 3) // 4 * 4 + (size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return at
        found.add(name[2:] if name.startswith("./") else name)
    raise BadInput("an archive of the initramfs is cut off")


def _unpack(packed: bytes) -> bytes:
    """The first compressed stream; what is appended behind it is not looked at."""
    try:
        for magic, tool in ((GZIP, lambda: zlib.decompressobj(31)), (XZ, lzma.LZMADecompressor)):
            if packed.startswith(magic):
                unpacker = tool()
                data: bytes = unpacker.decompress(packed)
                if not unpacker.eof:
                    raise BadInput("the initramfs is cut off")
                return data
        if packed.startswith(ZSTD):
            return b"".join(decompress_stream(iter([packed])))
    except (zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"the initramfs cannot be unpacked: {error}") from error
    raise BadInput("the initramfs is packed in a way that is not known here")


def addition(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """An archive with these files: path without leading slash -> content, mode."""
    return b"".join(archive(contained(files)))


def joined(initrd: bytes, extra: bytes) -> bytes:
    """Both, with the second on a multiple of four bytes."""
    return initrd + bytes(-len(initrd) % 4) + extra
