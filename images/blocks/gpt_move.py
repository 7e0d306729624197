"""Put the copy of a GPT where UEFI wants it, at the end of the disk, after an image went to a larger one.

Partitions stay as they are; only the room behind them becomes usable. UEFI 2.10, 5.3.2. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
import struct
import zlib

from images.blocks.table import GPT_HEAD, gpt_sound


def move_backup(fd: int, size: int, sector: int) -> bool:
    """For an open disk of `size` bytes; False when there was nothing to do. Raises OSError."""
    raw = os.pread(fd, sector, sector)
    last = size // sector - 1
    if not gpt_sound(raw):
        return False
    fields = list(GPT_HEAD.unpack_from(raw))
    copy, place, count, width = fields[6], fields[10], fields[11], fields[12]
    if copy == last:
        return False
    table = os.pread(fd, count * width, place * sector)
    rows = -(-count * width // sector)
    fields[6], fields[8] = last, last - rows - 1  # the copy's place; the last usable sector
    backup = list(fields)
    backup[5], backup[6], backup[10] = last, fields[5], last - rows
    os.pwrite(fd, table, (last - rows) * sector)
    os.pwrite(fd, _sealed(backup, raw), last * sector)
    os.fsync(fd)  # the new copy is there before the old one stops being named
    os.pwrite(fd, _sealed(fields, raw), sector)
    os.pwrite(fd, bytes(sector), copy * sector)
    _protect(fd, last)
    os.fsync(fd)
    return True


def _protect(fd: int, last: int) -> None:
    """The protective MBR (one partition of type EE over everything) covers the larger disk as well."""
    raw = os.pread(fd, 512, 0)
    rows = [at for at in range(446, 510, 16) if raw[at + 4]]
    if raw[510:] == b"\x55\xaa" and len(rows) == 1 and raw[rows[0] + 4] == 0xEE:
        os.pwrite(fd, struct.pack("<I", min(last, 0xFFFFFFFF)), rows[0] + 12)


def _sealed(fields: list[int], old: bytes) -> bytes:
    length = struct.unpack_from("<I", old, 12)[0]
    fields = [*fields]
    fields[3] = 0
    head = GPT_HEAD.pack(*fields) + old[GPT_HEAD.size : length]
    return head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:] + bytes(len(old) - length)
