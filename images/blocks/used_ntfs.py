"""Used clusters of NTFS, by its $Bitmap (file record 6). Source: the layout as Linux-NTFS documents it.

Law: a volume that is marked dirty, or that Windows has put to sleep, has changes in its log; its map is not
believed. The copy of the boot sector lies in the last sector of the partition, which no bitmap counts.
Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from images.blocks.bits import Map, Read, merged, runs
from images.errors import BadInput

_VOLUME, _BITMAP = 3, 6  # file records
_INFORMATION, _DATA, _END = 0x70, 0x80, 0xFFFFFFFF  # attributes


def used(read: Read) -> Map | None:
    """The map, or None when this is no NTFS."""
    raw = read(0, 512)
    if raw[3:11] != b"NTFS    ":
        return None
    sector, per_cluster = struct.unpack_from("<HB", raw, 11)
    sectors, mft = struct.unpack_from("<QQ", raw, 40)
    cluster = sector * (per_cluster if per_cluster <= 128 else 1 << (256 - per_cluster))
    size = (sectors + 1) * sector
    if not cluster:
        raise BadInput("NTFS: clusters of no size")
    record = struct.unpack_from("<b", raw, 64)[0]
    record = record * cluster if record > 0 else 1 << -record

    def attribute(number: int, kind: int) -> bytes:
        return _attribute(_fixed(read(mft * cluster + number * record, record), sector), kind)

    flags = attribute(_VOLUME, _INFORMATION)
    inner = struct.unpack_from("<H", flags, 20)[0]
    if struct.unpack_from("<H", flags, inner + 10)[0] & 1:
        return Map("ntfs", size, None, "it is marked dirty: shut Windows down fully, or run chkdsk")
    clusters = sectors * sector // cluster
    bitmap = b"".join(_content(attribute(_BITMAP, _DATA), cluster, read))
    ranges = [(first * cluster, length * cluster) for first, length in runs(bitmap, clusters)]
    ranges.append((clusters * cluster, size - clusters * cluster))
    return Map("ntfs", size, merged(ranges, size))


def span(read: Read) -> int:
    """The bytes that an NTFS says it has, without the copy of its boot sector; 0: it is none."""
    raw = read(0, 512)
    sectors = struct.unpack_from("<Q", raw, 40)[0]
    return int(struct.unpack_from("<H", raw, 11)[0] * sectors) if raw[3:11] == b"NTFS    " else 0


def _fixed(raw: bytes, sector: int) -> bytes:
    """A record with the last two bytes of each sector put back (the update sequence)."""
    if raw[:4] != b"FILE":
        raise BadInput("NTFS: a file record is damaged")
    at, count = struct.unpack_from("<HH", raw, 4)
    out = bytearray(raw)
    for number in range(1, count):
        end = number * min(sector, 512)
        if raw[end - 2 : end] != raw[at : at + 2]:
            raise BadInput("NTFS: a file record was written in part only")
        out[end - 2 : end] = raw[at + 2 * number : at + 2 * number + 2]
    return bytes(out)


def _attribute(record: bytes, kind: int) -> bytes:
    """The first attribute of that kind, header and all."""
    at = struct.unpack_from("<H", record, 20)[0]
    while at + 8 <= len(record):
        found, length = struct.unpack_from("<II", record, at)
        if found == kind:
            return record[at : at + length]
        if found == _END or not length:
            break
        at += length
    raise BadInput(f"NTFS: a file record has no attribute {kind:#x}")


def _content(attribute: bytes, cluster: int, read: Read) -> Iterator[bytes]:
    if not attribute[8]:
        length, at = struct.unpack_from("<IH", attribute, 16)
        yield attribute[at : at + length]
        return
    at = struct.unpack_from("<H", attribute, 32)[0]
    left = struct.unpack_from("<Q", attribute, 48)[0]
    place = 0
    while attribute[at] and left:
        lengths, offsets = attribute[at] & 15, attribute[at] >> 4
        count = int.from_bytes(attribute[at + 1 : at + 1 + lengths], "little")
        at += 1 + lengths
        place += int.from_bytes(attribute[at : at + offsets], "little", signed=True)
        at += offsets
        size = min(left, count * cluster)
        yield read(place * cluster, size) if offsets else bytes(size)
        left -= size
