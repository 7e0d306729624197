"""Opens for a client what it asks for, once the gate has said that it may: a version, and its own place to
write.

Blocks: a version is made ready the first time (seconds), and a layer is waited for until its older connection
has let go of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from images.errors import ImageError
from images.nbd.cache import BLOCK
from images.nbd.device import Device
from images.nbd.exports import Exports
from images.nbd.gate import Gate
from images.nbd.layer import SECTOR, Layer, LayerTaken, open_layer
from images.nbd.session import Export

PATIENCE, PAUSE = 20.0, 0.1  # seconds


class Opened(NamedTuple):
    """What a client was allowed. Without `device` it is an empty one, which holds what was written."""

    ref: str
    export: Export
    device: Device | None
    layer: Layer | None


class Admission:
    """May be shared between threads as far as the gate may."""

    def __init__(self, exports: Exports, gate: Gate) -> None:
        self._exports, self._gate = exports, gate

    def ask(self, peer: str, name: str, stopped: Callable[[], bool]) -> Opened | Exception:
        """What the client at `peer` gets, or why it gets nothing (Refused, ImageError, OSError)."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._open(peer, name)
            except LayerTaken as error:
                if time.monotonic() > until or stopped():
                    return error
            except (ImageError, OSError) as error:
                return error
            time.sleep(PAUSE)

    def _open(self, peer: str, name: str) -> Opened:
        grant = self._gate.grant(peer, name)
        device, place = self._exports.device(grant.ref), grant.place
        if place is None:
            return Opened(grant.ref, Export(device.size), device, None)
        if device.volume.head:  # a tree: what is written lies on a device of its own
            size = place.limit // BLOCK * BLOCK
            layer = open_layer(place.folder / "kept", "", size, 2 * size)
            return Opened(grant.ref, Export(layer.size, True, SECTOR), None, layer)
        layer = open_layer(place.folder / device.id[:16], device.id, device.size, place.limit)
        return Opened(grant.ref, Export(device.size, True, SECTOR), device, layer)
