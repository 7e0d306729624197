"""Look at a disk: its table, what each partition holds, and which bytes must be kept.

Kept are: the used blocks of file systems whose map can be believed; everywhere else (boot sectors, tables,
gaps, whatever is not known: LVM, RAID, encryption, other systems) each block that is not zero.
Python 3.8, standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from images.blocks import used_btrfs, used_ext, used_fat, used_ntfs, used_xfs
from images.blocks.bits import Map, merged
from images.blocks.device import Device
from images.blocks.table import Part, Table, read_table
from images.errors import BadInput

_SPANS = (used_xfs.span, used_ntfs.span, used_fat.span, used_ext.span, used_btrfs.span)
_MAPS = (used_xfs.used, used_ntfs.used, used_fat.used, used_ext.used, used_btrfs.used)
_LEAST = 68 << 10  # where the last of their superblocks ends
_PIECE, _BLOCK = 1 << 20, 4096
_ZEROS = bytes(_PIECE)


class Area(NamedTuple):
    """A stretch of the disk. `ranges` (offset, length) from the disk's start, or None: what is not zero."""

    start: int
    end: int
    ranges: list[tuple[int, int]] | None


class Survey(NamedTuple):
    """What was found: areas that cover the disk, and the description that goes into the image."""

    areas: list[Area]
    shape: dict[str, Any]


def survey(device: Device) -> Survey:
    """Look at the whole device. Raises OSError; damaged structures only mean that more is kept."""
    whole = _look(device, 0, device.size)
    known = whole is not None and whole.ranges is not None
    table = Table("none", device.sector, []) if known else read_table(device.read, device.size, device.sector)
    parts: list[dict[str, Any]] = []
    areas: list[Area] = []
    place, wanted = 0, max(table.end, _span(device, 0, device.size))
    stretches: list[tuple[int, int, Part | None]] = [(one.start, one.size, one) for one in table.parts]
    for start, size, part in stretches or [(0, device.size, None)]:
        found = whole if part is None else _look(device, start, size)
        wanted = max(wanted, start + _span(device, start, size))
        row: dict[str, Any] = dict(part._asdict()) if part else {"number": 0, "start": 0, "size": size}
        row.update(fs=found.fs if found else "", map=bool(found and found.ranges is not None))
        if found and found.why:
            row["why"] = found.why
        parts.append(row)
        if found is None or found.ranges is None or start < place:
            continue  # (partitions that overlap are nobody's file system)
        if start > place:
            areas.append(Area(place, start, None))
        place = start + min(found.size, size)
        areas.append(Area(start, place, [(start + offset, length) for offset, length in found.ranges]))
    if place < device.size:
        areas.append(Area(place, device.size, None))
    free = [[area.start, area.end] for area in areas if area.ranges is not None]
    shape = {
        "size": device.size, "sector": table.sector, "physical": device.physical, "table": table.kind,
        "partitions": parts, "free": free,
    }  # fmt: skip
    if wanted > device.size:
        shape["missing"] = wanted - device.size
    return Survey(areas, shape)


def _span(device: Device, start: int, size: int) -> int:
    """The bytes that a file system there says it has, be they there or not."""
    if size < _LEAST:
        return 0
    return max(span(lambda offset, length: device.read(start + offset, length)) for span in _SPANS)


def _look(device: Device, start: int, size: int) -> Map | None:
    if size < _LEAST:
        return None

    def read(offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > size:
            raise BadInput("a structure points outside its partition")
        return device.read(start + offset, length)

    if read(0, 4096)[-10:] == b"SWAPSPACE2":  # the header is all that survives a boot
        return Map("swap", size, [(0, 4096)])
    for used in _MAPS:
        try:
            found = used(read)
        except (BadInput, struct.error, IndexError, ValueError, OverflowError) as err:
            return Map(used.__module__.rpartition("_")[2], size, None, f"its map cannot be read: {err}")
        if found is not None:
            if found.size > size:
                return found._replace(ranges=None, why="it is larger than its partition")
            return found
    return None


def kept(device: Device, areas: list[Area], start: int, end: int) -> list[tuple[int, int]]:
    """(offset, length) in [start, end) to keep, sorted. Unknown areas are read here."""
    out: list[tuple[int, int]] = []
    for area in areas:
        first, last = max(area.start, start), min(area.end, end)
        if first >= last:
            continue
        if area.ranges is None:
            out.extend(_nonzero(device, first, last))
            continue
        for offset, length in area.ranges:
            low, high = max(offset, first), min(offset + length, last)
            if low < high:
                out.append((low, high - low))
    return merged(out, device.size)


def _nonzero(device: Device, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Blocks that are not all zero, found by reading what may hold data."""
    for offset, length in device.data(start, end):
        for at in range(offset, offset + length, _PIECE):
            raw = device.read(at, min(_PIECE, offset + length - at))
            if raw == _ZEROS[: len(raw)]:
                continue
            for place in range(0, len(raw), _BLOCK):
                block = raw[place : place + _BLOCK]
                if block != _ZEROS[: len(block)]:
                    yield at + place, len(block)
