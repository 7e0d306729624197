"""What a diskless node says of its write layer, and when that is news. Pure; raises Refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bootsrv.calls import Refused
from bootsrv.registry.upkeep import Room
from images.sizes import human

FULL = 0.97  # of the layer: from here on it is said
_MOST = 1 << 43  # KiB


def read(said: Mapping[str, Any], now: float) -> Room:
    """The form that the node sends; its numbers are KiB."""
    numbers = [str(said.get(name) or "") for name in ("used", "size")]
    if not all(text.isascii() and text.isdigit() and int(text) <= _MOST for text in numbers):
        raise Refused(400, "used and size are numbers of KiB")
    used, size = (int(text) * 1024 for text in numbers)
    return Room(min(used, size), size, now)


def full(room: Room) -> bool:
    """Whether next to nothing more fits."""
    return room.size > 0 and room.used >= room.size * FULL


def news(before: Room | None, room: Room) -> str | None:
    """What to put on the record: that it is full now and was not before."""
    if not full(room) or (before is not None and full(before)):
        return None
    return f"its write layer is full ({human(room.used)} of {human(room.size)}): what it writes now fails"
