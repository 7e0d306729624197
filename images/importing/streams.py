"""Archives as streams, whatever compressed them: told by their first bytes, never by their name."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from typing import IO, BinaryIO, cast

import zstandard

from images.errors import BadInput

# What tarfile trips over in broken headers, beside its own TarError.
TRIPS = (ValueError, LookupError, ArithmeticError, TypeError, AttributeError, MemoryError)
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


class Peeked:
    """A stream whose start was looked at. Counts and optionally hashes what is read of it."""

    def __init__(self, raw: IO[bytes], hasher: hashlib._Hash | None = None) -> None:
        self._raw = raw
        self._held = b""
        self._hasher = hasher
        self.read_bytes = 0

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay to be read. Once, at the start."""
        while len(self._held) < size:
            more = self._raw.read(size - len(self._held))
            if not more:
                break
            self._held += more
        return self._held

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        if self._held and size >= 0:
            data, self._held = self._held[:size], self._held[size:]
        else:
            data, self._held = self._held + self._raw.read(size), b""
        self.read_bytes += len(data)
        if self._hasher:
            self._hasher.update(data)
        return data

    def drain(self) -> None:
        """Read the rest, for the hash over all of it."""
        while self.read(1 << 20):
            pass

    def readable(self) -> bool:
        """As of a file."""
        return True


def decompressed(stream: Peeked) -> BinaryIO:
    """The plain bytes of a stream in gzip, xz, zstd, bzip2 or no compression at all."""
    start = stream.peek(6)
    source = cast("BinaryIO", stream)
    if start.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=source))
    if start.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return cast("BinaryIO", lzma.LZMAFile(source))
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        return cast("BinaryIO", reader)
    if start.startswith(b"BZh"):
        return cast("BinaryIO", bz2.BZ2File(source))
    return source


class Tail:
    """Passes a tar stream through and remembers how it ended: tarfile takes a cut between members for the
    end.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = b""

    def read(self, size: int) -> bytes:
        """As of a file."""
        data = self._stream.read(size)
        self._last = (self._last + data)[-512:] if len(data) < 512 else data[-512:]
        return data

    def check(self, what: str) -> None:
        """Read the rest; raises BadInput when the archive has no end mark (a block of zeros)."""
        while self.read(1 << 20):
            pass
        if self._last != bytes(512):
            raise BadInput(f"{what} is cut off: the end of the archive is missing")
