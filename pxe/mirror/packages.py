"""Reads indexes of packages: what each package's bytes hash to. Pure: bytes in, name -> sum out.

apt's `Packages` (deb822) and dnf's `primary.xml`, plain or compressed. Only what a cache needs is read; a
damaged index gives what could be read of it, since whoever installs checks everything again by signed
lists.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zstandard

MOST = 512 << 20  # bytes of an index, unpacked
_DEB = re.compile(rb"^(Filename|Size|SHA256): *(\S+)", re.MULTILINE)
_RPM = re.compile(
    rb'<checksum type="(sha256|sha)"[^>]*>([0-9a-f]+)</checksum>.*?<size package="(\d+)".*?'
    rb'<location(?: xml:base="[^"]*")? href="([^"]+)"',
    re.DOTALL,
)
_XML = {b"&amp;": b"&", b"&lt;": b"<", b"&gt;": b">", b"&quot;": b'"', b"&apos;": b"'"}


@dataclass(frozen=True, slots=True)
class Known:
    """A package's bytes. `sha256` is hexadecimal."""

    size: int
    sha256: str


def root_of(path: str) -> str | None:
    """Where an index's names begin: the archive's own root, "" or with a slash at its end; None: no index of
    packages."""
    name = path.rpartition("/")[2]
    if "/by-hash/" in path or re.fullmatch(r"Packages(\.(gz|xz|bz2))?", name):
        head, found, _ = f"/{path}".partition("/dists/")
        if found:
            return head.lstrip("/") + ("/" if head.strip("/") else "")
        return path.rpartition("/")[0] + "/" if "/" in path and "/by-hash/" not in path else None
    if "repodata/" in path and "primary.xml" in name:
        return path.rpartition("repodata/")[0]
    return None


def read(data: bytes) -> Iterator[tuple[str, Known]]:
    """Every package of an index: its name there, and its bytes."""
    plain = unpack(data)
    yield from _rpms(plain) if b"<metadata" in plain[:1000] else _debs(plain)


def unpack(data: bytes) -> bytes:
    """The index as text, however it is compressed; b"" when it is damaged or too large."""
    for magic, opened in _OPENERS:
        if data.startswith(magic):
            try:
                return opened(data)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error, zstandard.ZstdError):
                return b""
    return data if len(data) <= MOST else b""


def _gzip(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return _bounded(file.read(MOST + 1))


def _xz(data: bytes) -> bytes:
    return _bounded(lzma.LZMADecompressor(memlimit=256 << 20).decompress(data, MOST + 1))


def _bz2(data: bytes) -> bytes:
    return _bounded(bz2.BZ2Decompressor().decompress(data, MOST + 1))


def _zstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as file:
        return _bounded(file.read(MOST + 1))


def _bounded(data: bytes) -> bytes:
    return data if len(data) <= MOST else b""


_OPENERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", _gzip), (b"\xfd7zXZ", _xz), (b"BZh", _bz2), (b"\x28\xb5\x2f\xfd", _zstd),
)  # fmt: skip


def _debs(text: bytes) -> Iterator[tuple[str, Known]]:
    for block in text.split(b"\n\n"):
        fields = dict(_DEB.findall(block))
        name, digest, size = (fields.get(key, b"") for key in (b"Filename", b"SHA256", b"Size"))
        if name and re.fullmatch(rb"[0-9a-f]{64}", digest) and size.isdigit():
            yield name.decode("utf-8", "replace").removeprefix("./"), Known(int(size), digest.decode())


def _rpms(text: bytes) -> Iterator[tuple[str, Known]]:
    for block in text.split(b"</package>"):
        if (found := _RPM.search(block)) is None or found[1] != b"sha256" or len(found[2]) != 64:
            continue
        name = found[4]
        for quoted, letter in _XML.items():
            name = name.replace(quoted, letter)
        yield name.decode("utf-8", "replace"), Known(int(found[3]), found[2].decode())
