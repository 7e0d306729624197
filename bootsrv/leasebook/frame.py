"""The lease journal's bytes: batches of leases <-> frames.

A frame is magic, length, CRC-32, and what it holds: the moment it was written at, then leases. The laws: what
`write` gives, `read` gives back; a frame that is not whole and sound is never read as leases, and what
follows it still is. Pure.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from bootsrv.registry.moment import Moment
from pxe.dhcp.ports import Lease

MAGIC = b"\x89BL1"
_HEAD = struct.Struct("!4sII")  # magic, length and CRC-32 of what follows
_MOMENT = struct.Struct("!ddB")  # even, wall, length of the boot's id
_LEASE = struct.Struct("!IdBBHB")  # address, end, state, lengths of MAC, client identifier and name
_NO_ID = 0xFFFF  # a client identifier that is None
_STATES = ("bound", "declined", "released")
_NUMBERS = {state: number for number, state in enumerate(_STATES)}
_BAD = (struct.error, UnicodeDecodeError, IndexError, ValueError)


@dataclass(frozen=True, slots=True)
class Content:
    """What a journal says. `end`: bytes up to which all is sound. `torn`: bytes follow that are no frame, as
    a crash leaves them. `damaged`: sound frames come after unsound bytes, which no crash explains."""

    leases: dict[int, Lease]
    moment: Moment | None
    end: int
    torn: bool
    damaged: bool


def write(moment: Moment, batch: Sequence[Lease]) -> bytes:
    """One frame. Raises ValueError for a lease that cannot be written."""
    boot = moment.boot.encode()
    parts = [_MOMENT.pack(moment.even, moment.wall, len(boot)), boot]
    try:
        for lease in batch:
            mac, name, client = lease.mac.encode(), lease.hostname.encode(), lease.client_id
            size = _NO_ID if client is None else len(client)
            parts.append(
                _LEASE.pack(
                    int(lease.address), lease.expires, _NUMBERS[lease.state], len(mac), size, len(name)
                )
            )
            parts += (mac, client or b"", name)
    except (struct.error, KeyError) as error:
        raise ValueError(f"a lease that cannot be written: {error!r}") from error
    body = b"".join(parts)
    return _HEAD.pack(MAGIC, len(body), zlib.crc32(body)) + body


def read(data: bytes) -> Content:
    """Everything sound in a journal; of each address the newest."""
    leases: dict[int, Lease] = {}
    moment: Moment | None = None
    at = end = 0
    damaged = False
    while at < len(data):
        body = _body(data, at)
        found = _content(body) if body is not None else None
        if body is None or found is None:
            at = data.find(MAGIC, at + 1)
            if at < 0:
                break
            continue
        damaged = damaged or at > end
        moment, batch = found
        leases.update((int(lease.address), lease) for lease in batch)
        at += _HEAD.size + len(body)
        end = at
    return Content(leases, moment, end, end < len(data), damaged)


def _body(data: bytes, at: int) -> bytes | None:
    """What the frame at this place holds; None: there is no sound one."""
    if at + _HEAD.size > len(data):
        return None
    magic, size, check = _HEAD.unpack_from(data, at)
    body = data[at + _HEAD.size : at + _HEAD.size + size]
    if magic != MAGIC or len(body) < size or zlib.crc32(body) != check:
        return None
    return body


def _content(body: bytes) -> tuple[Moment, list[Lease]] | None:
    """None for one with a right sum that this program cannot read."""
    try:
        even, wall, size = _MOMENT.unpack_from(body)
        at = _MOMENT.size + size
        moment = Moment(body[_MOMENT.size : at].decode(), even, wall)
        leases = []
        while at < len(body):
            address, expires, state, of_mac, of_client, of_name = _LEASE.unpack_from(body, at)
            at += _LEASE.size
            mac = body[at : at + of_mac].decode()
            at += of_mac
            client = None
            if of_client != _NO_ID:
                client = body[at : at + of_client]
                at += of_client
            name = body[at : at + of_name].decode()
            at += of_name
            leases.append(Lease(IPv4Address(address), mac, client, expires, name, _STATES[state]))
        return (moment, leases) if at == len(body) else None
    except _BAD:
        return None
