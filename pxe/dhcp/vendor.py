"""The PXE tags inside option 43: what firmware may ask whom, the boot menu, and the item that was chosen.

PXE 2.1 table 2-1 (tags 6, 8, 9, 10, 71) and RFC 4578; code, length and value as in RFC 2132 section 8.4. The
law: `build` gives bytes that `parse` reads back the same, or raises ValueError; `parse` never raises, a tag
that is cut off or malformed counts as absent. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from pxe.dhcp.client import sub_options

CONTROL, SERVERS, MENU, PROMPT, ITEM = 6, 8, 9, 10, 71
END = 255

# PXE_DISCOVERY_CONTROL. Bit 3 means: load the file of this answer, no menu, no discovery.
NO_BROADCAST, NO_MULTICAST, LISTED_ONLY, THIS_FILE = 1, 2, 4, 8
LOCAL_BOOT = 0  # the item that means the machine's own disk
OURS = 0x8000  # of the types that are free for vendors, the first


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu, and who is asked for it (nobody for the local disk)."""

    kind: int  # 0 to 65535
    text: str  # printable ASCII
    servers: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Vendor:
    """What option 43 says. `seconds`: how long the prompt waits before the first entry is taken; 255 is for
    ever, 0 not at all. `item`: type and layer that were chosen."""

    control: int | None = None
    entries: tuple[Entry, ...] = ()
    prompt: str | None = None
    seconds: int = 0
    item: tuple[int, int] | None = None


def build(vendor: Vendor) -> bytes:
    """The bytes of option 43. Raises ValueError for what does not fit."""
    tags: list[tuple[int, bytes]] = []
    if vendor.control is not None:
        tags.append((CONTROL, _byte(vendor.control)))
    servers = b"".join(_servers(entry) for entry in vendor.entries if entry.servers)
    if servers:
        tags.append((SERVERS, servers))
    if vendor.entries:
        tags.append((MENU, b"".join(_line(entry) for entry in vendor.entries)))
    if vendor.prompt is not None:
        tags.append((PROMPT, _byte(vendor.seconds) + _ascii(vendor.prompt)))
    if vendor.item is not None:
        tags.append((ITEM, _words(*vendor.item)))
    for code, value in tags:
        if len(value) > 255:
            raise ValueError(f"tag {code} has {len(value)} bytes, 255 are possible")
    return b"".join(bytes((code, len(value))) + value for code, value in tags) + bytes((END,))


def parse(data: bytes) -> Vendor:
    """What firmware or another server says; the last of a tag that is there twice counts."""
    found = dict(sub_options(data))
    servers = dict(_parse_servers(found.get(SERVERS, b"")))
    lines = _parse_menu(found.get(MENU, b""))
    entries = tuple(Entry(kind, text, servers.get(kind, ())) for kind, text in lines)
    control, prompt, item = found.get(CONTROL, b""), found.get(PROMPT, b""), found.get(ITEM, b"")
    return Vendor(
        control[0] if len(control) == 1 else None,
        entries,
        prompt[1:].decode("ascii", "replace") if prompt else None,
        prompt[0] if prompt else 0,
        (item[0] << 8 | item[1], item[2] << 8 | item[3]) if len(item) == 4 else None,
    )


def menu(server: IPv4Address, seconds: int) -> Vendor:
    """Two lines: boot from `server`, which is asked directly, or the machine's own disk. After `seconds`
    without a key the first is taken."""
    entries = (Entry(OURS, "Boot from the network", (server,)), Entry(LOCAL_BOOT, "Boot from the disk"))
    return Vendor(NO_BROADCAST | NO_MULTICAST | LISTED_ONLY, entries, "Press F8 for the boot menu", seconds)


def _byte(number: int) -> bytes:
    if not 0 <= number <= 255:
        raise ValueError(f"{number} is not in 0..255")
    return bytes((number,))


def _words(*numbers: int) -> bytes:
    if not all(0 <= number <= 0xFFFF for number in numbers):
        raise ValueError(f"{numbers} are not in 0..65535")
    return struct.pack(f"!{len(numbers)}H", *numbers)


def _ascii(text: str) -> bytes:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{text!r} is not printable ASCII")
    return text.encode()


def _servers(entry: Entry) -> bytes:
    return _words(entry.kind) + _byte(len(entry.servers)) + b"".join(at.packed for at in entry.servers)


def _line(entry: Entry) -> bytes:
    text = _ascii(entry.text)
    return _words(entry.kind) + _byte(len(text)) + text


def _parse_servers(data: bytes) -> Iterator[tuple[int, tuple[IPv4Address, ...]]]:
    at = 0
    while at + 3 <= len(data):
        kind, count = data[at] << 8 | data[at + 1], data[at + 2]
        packed = data[at + 3 : at + 3 + 4 * count]
        if len(packed) < 4 * count:
            return
        yield kind, tuple(IPv4Address(packed[n : n + 4]) for n in range(0, len(packed), 4))
        at += 3 + 4 * count


def _parse_menu(data: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at + 3 <= len(data):
        text = data[at + 3 : at + 3 + data[at + 2]]
        if len(text) < data[at + 2]:
            return
        yield data[at] << 8 | data[at + 1], text.decode("ascii", "replace")
        at += 3 + len(text)
