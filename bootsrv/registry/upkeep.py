"""What is known of a node's running system beyond its record: how to recognise it over SSH, how far it has
drifted from its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bootsrv.registry.connection import Database


@dataclass(frozen=True, slots=True)
class Drift:
    """`count` names differed from version `image` (NAME@NUMBER) at `at`, epoch seconds."""

    image: str
    count: int
    at: float


@dataclass(frozen=True, slots=True)
class Room:
    """What a diskless node's write layer holds and may hold, in bytes, at `at`, epoch seconds."""

    used: int
    size: int
    at: float


class Upkeep:
    """The upkeep table; a node that was removed takes its row along."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def host_keys(self, node: int) -> Sequence[str]:
        """Public SSH host keys ("TYPE BASE64"), as its imaging reported them."""
        row = self._db.one("SELECT host_keys FROM upkeep WHERE node=?", (node,))
        return tuple(msgspec.json.decode(row["host_keys"])) if row is not None else ()

    def set_host_keys(self, node: int, keys: Sequence[str]) -> None:
        """Replace them; what was known of the system before is void."""
        self._db.run(
            "INSERT INTO upkeep (node, host_keys) VALUES (?, ?) ON CONFLICT (node) DO UPDATE SET"
            " host_keys=excluded.host_keys, image=NULL, drift=NULL, looked=NULL",
            (node, msgspec.json.encode(list(keys)).decode()),
        )

    def drift(self, node: int) -> Drift | None:
        """What the last look found; None when nobody has looked."""
        row = self._db.one("SELECT image, drift, looked FROM upkeep WHERE node=?", (node,))
        if row is None or row["drift"] is None:
            return None
        return Drift(row["image"], row["drift"], row["looked"])

    def set_drift(self, node: int, drift: Drift) -> None:
        """Remember a look."""
        self._db.run(
            "INSERT INTO upkeep (node, image, drift, looked) VALUES (?, ?, ?, ?) ON CONFLICT (node) DO UPDATE"
            " SET image=excluded.image, drift=excluded.drift, looked=excluded.looked",
            (node, drift.image, drift.count, drift.at),
        )

    def room(self, node: int) -> Room | None:
        """How full its write layer was; None when it has not said yet."""
        row = self._db.one("SELECT room_used, room_size, room_looked FROM upkeep WHERE node=?", (node,))
        if row is None or row["room_looked"] is None:
            return None
        return Room(row["room_used"], row["room_size"], row["room_looked"])

    def set_room(self, node: int, room: Room | None) -> None:
        """Remember it, or forget it: another boot begins with another layer."""
        values = (room.used, room.size, room.at) if room is not None else (None, None, None)
        self._db.run(
            "INSERT INTO upkeep (node, room_used, room_size, room_looked) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (node) DO UPDATE SET room_used=excluded.room_used, room_size=excluded.room_size,"
            " room_looked=excluded.room_looked",
            (node, *values),
        )
