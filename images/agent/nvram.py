"""UEFI boot entries: one for the imaged disk, behind the network in the boot order.

Field fact: an installer that puts its disk first (LP 1642298) takes the machine away from its boot server;
so the network entry that this boot came by goes first, ours follows the last network entry, the rest keeps
its order. Variables are files of efivarfs: four bytes of attributes, then the value, in one write. UEFI
2.10 §3.1, §10. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import uuid
from pathlib import Path
from typing import NamedTuple

EFIVARS = Path("/sys/firmware/efi/efivars")
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
ATTRIBUTES = 0x7  # non-volatile, boot service, runtime
ACTIVE = 1
LABEL = "bootsrv disk"
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x10
NETWORK = ((3, 11), (3, 12), (3, 13), (3, 24))  # MAC, IPv4, IPv6, URI device path nodes


class Entry(NamedTuple):
    """A load option: its label and its device path."""

    label: str
    path: bytes

    @property
    def network(self) -> bool:
        """Whether it boots over a network card."""
        return any(kind in NETWORK for kind in nodes(self.path))


def parse(raw: bytes) -> Entry | None:
    """EFI_LOAD_OPTION: u32 attributes, u16 path length, UCS-2 label, device path. None when damaged."""
    if len(raw) < 8:
        return None
    length = struct.unpack_from("<H", raw, 4)[0]
    end = 6
    while raw[end : end + 2] not in (b"\0\0", b""):
        end += 2
    return Entry(raw[6:end].decode("utf-16-le", "replace"), raw[end + 2 : end + 2 + length])


def nodes(path: bytes) -> list[tuple[int, int]]:
    """(type, subtype) of each node of a device path."""
    found, at = [], 0
    while at + 4 <= len(path):
        kind, sub, length = struct.unpack_from("<BBH", path, at)
        found.append((kind, sub))
        if length < 4:
            break
        at += length
    return found


def disk_entry(label: str, number: int, start: int, sectors: int, guid: str, file: str) -> bytes:
    """A load option for FILE on a GPT partition (short form: the firmware finds the disk by GUID)."""
    drive = struct.pack("<BBHIQQ16sBB", 4, 1, 42, number, start, sectors, uuid.UUID(guid).bytes_le, 2, 2)
    name = file.encode("utf-16-le") + b"\0\0"
    path = drive + struct.pack("<BBH", 4, 4, 4 + len(name)) + name + struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<IH", ACTIVE, len(path)) + label.encode("utf-16-le") + b"\0\0" + path


def new_order(order: list[int], entries: dict[int, Entry], current: int | None, ours: int) -> list[int]:
    """Boot order with our disk behind the network. `current`: the entry this boot came by."""
    rest = [n for n in order if n != ours]
    if current in entries and entries[current].network and current in rest:
        rest.remove(current)
        rest.insert(0, current)
    networks = [i for i, n in enumerate(rest) if n in entries and entries[n].network]
    rest.insert(networks[-1] + 1 if networks else 0, ours)
    return rest


def install(
    number: int, start: int, sectors: int, guid: str, file: str, folder: Path = EFIVARS, label: str = LABEL
) -> str:
    """Writes our entry and the order; returns the order as text. Of several disks, the first one last.

    Raises OSError (a full or read-only NVRAM).
    """
    entries: dict[int, Entry] = {}
    for path in sorted(folder.glob(f"Boot[0-9A-F][0-9A-F][0-9A-F][0-9A-F]-{GLOBAL}")):
        entry = parse(path.read_bytes()[4:])
        if entry is not None:
            entries[int(path.name[4:8], 16)] = entry
    old = [n for n, entry in entries.items() if entry.label == label]
    ours = old[0] if old else next(n for n in range(0x10000) if n not in entries)
    for extra in old[1:]:
        _remove(folder / f"Boot{extra:04X}-{GLOBAL}")
        del entries[extra]
    _write(folder / f"Boot{ours:04X}-{GLOBAL}", disk_entry(label, number, start, sectors, guid, file))
    order = [n for n in _numbers(folder / f"BootOrder-{GLOBAL}") if n not in old[1:]]
    current = _numbers(folder / f"BootCurrent-{GLOBAL}")
    order = new_order(order, entries, current[0] if current else None, ours)
    _write(folder / f"BootOrder-{GLOBAL}", struct.pack(f"<{len(order)}H", *order))
    return ",".join(f"{n:04X}" for n in order)


def _numbers(path: Path) -> list[int]:
    if not path.exists():
        return []
    raw = path.read_bytes()[4:]
    return list(struct.unpack(f"<{len(raw) // 2}H", raw[: len(raw) // 2 * 2]))


def _write(path: Path, value: bytes) -> None:
    data = struct.pack("<I", ATTRIBUTES) + value
    if path.exists():
        if path.read_bytes() == data:
            return
        _mutable(path)
    handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    _mutable(path)
    path.unlink()


def _mutable(path: Path) -> None:
    """efivarfs guards its files against `rm -rf` by the immutable flag; in tests there is none."""
    handle = os.open(str(path), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            flags = struct.unpack("i", fcntl.ioctl(handle, FS_IOC_GETFLAGS, bytes(4)))[0]
            fcntl.ioctl(handle, FS_IOC_SETFLAGS, struct.pack("i", flags & ~FS_IMMUTABLE_FL))
    finally:
        os.close(handle)
