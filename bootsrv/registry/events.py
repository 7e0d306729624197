"""The flight recorder's tape: events, which boot each belongs to, and what the imager's console said.

Which boot an event opens or continues is decided by `bootsrv.timeline.advance`; here it is only stored. Of
the progress reports of one boot only the first and the newest are kept: a thousand machines at one report a
second would fill any disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

import msgspec

from bootsrv.model import Event
from bootsrv.registry.connection import Database
from bootsrv.timeline import Flight, advance

PROGRESS = "deploy.progress"
KEEP_EVENTS = 3_000_000
RECENT = 20  # steps looked back for what a machine's last exchange was about
LOG_KEEP = 4000  # pieces of console log kept for each node


class Events:
    """The event, flight and log tables."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(
        self,
        at: float,
        kind: str,
        text: str,
        mac: str | None,
        node: int | None,
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """Record one event; returns its id. With a MAC it joins, or opens, a boot of that machine."""
        body = dict(data or {})
        with self._db.transaction():
            cursor = self._db.run(
                "INSERT INTO events (at, node, mac, boot, kind, text, data) VALUES (?, ?, ?, NULL, ?, ?, ?)",
                (at, node, mac, kind, text, msgspec.json.encode(body).decode()),
            )
            event_id = int(cursor.lastrowid or 0)
            if mac is not None:
                boot = self._fly(mac, at, kind, body, event_id)
                if kind == PROGRESS:
                    # The first one stays: it tells when the writing began.
                    self._db.run(
                        "DELETE FROM events WHERE boot=? AND kind=? AND id>"
                        "(SELECT min(id) FROM events AS first"
                        " WHERE first.boot=? AND first.kind=?)",
                        (boot, PROGRESS, boot, PROGRESS),
                    )
                self._db.run("UPDATE events SET boot=? WHERE id=?", (boot, event_id))
        return event_id

    def _fly(self, mac: str, at: float, kind: str, data: Mapping[str, Any], event_id: int) -> int:
        row = self._db.one("SELECT boot, phase, at FROM flights WHERE mac=?", (mac,))
        before = Flight(row["boot"], row["phase"], row["at"]) if row is not None else None
        flight = advance(before, at, kind, data, event_id)
        self._db.run(
            "INSERT INTO flights VALUES (?, ?, ?, ?)"
            " ON CONFLICT (mac) DO UPDATE SET boot=excluded.boot,"
            " phase=excluded.phase, at=excluded.at",
            (mac, flight.boot, flight.phase, flight.at),
        )
        return flight.boot

    def since(self, event_id: int, limit: int = 500, node: int | None = None) -> list[Event]:
        """Events newer than `event_id`, oldest first; of one node or of all."""
        if node is None:
            rows = self._db.all("SELECT * FROM events WHERE id>? ORDER BY id LIMIT ?", (event_id, limit))
        else:
            rows = self._db.all(
                "SELECT * FROM events WHERE node=? AND id>? ORDER BY id LIMIT ?", (node, event_id, limit)
            )
        return [_event(row) for row in rows]

    def latest(self, node: int | None = None, limit: int = 100) -> list[Event]:
        """The newest events, oldest of them first."""
        if node is None:
            rows = self._db.all("SELECT * FROM events ORDER BY id DESC LIMIT ?", (limit,))
        else:
            rows = self._db.all("SELECT * FROM events WHERE node=? ORDER BY id DESC LIMIT ?", (node, limit))
        return [_event(row) for row in reversed(rows)]

    def newest(self, node: int, kind: str, since: float) -> Event | None:
        """A node's newest event of a kind, not older than `since` (epoch seconds)."""
        row = self._db.one(
            "SELECT * FROM events WHERE node=? AND kind=? AND at>=? ORDER BY id DESC LIMIT 1",
            (node, kind, since),
        )
        return _event(row) if row is not None else None

    def last_id(self) -> int:
        row = self._db.one("SELECT max(id) FROM events")
        return int(row[0] or 0) if row is not None else 0

    def boots(self, node: int, limit: int = 10) -> list[list[Event]]:
        """The events of a node's newest boots, newest boot first."""
        found = self._db.all(
            "SELECT DISTINCT boot FROM events WHERE node=? AND boot IS NOT NULL ORDER BY boot DESC LIMIT ?",
            (node, limit),
        )
        return [
            [
                _event(row)
                for row in self._db.all("SELECT * FROM events WHERE boot=? ORDER BY id", (boot["boot"],))
            ]
            for boot in found
        ]

    def progress(self) -> dict[int, Event]:
        """The newest progress report of every node that is being imaged, by node id."""
        rows = self._db.all(
            "SELECT events.* FROM nodes JOIN events ON events.node=nodes.id WHERE nodes.state='imaging'"
            " AND events.kind=? AND events.id="
            "(SELECT max(id) FROM events AS newest WHERE newest.node=nodes.id"
            " AND newest.kind=?)",
            (PROGRESS, PROGRESS),
        )
        return {row["node"]: _event(row) for row in rows}

    def dhcp_named(self, mac: str, address: IPv4Address) -> bool:
        """Whether the newest DHCP step of a machine that speaks of an address speaks of this one."""
        rows = self._db.all(
            "SELECT data FROM events WHERE mac=? AND kind GLOB 'dhcp.*' ORDER BY id DESC LIMIT ?",
            (mac, RECENT),
        )
        named = (msgspec.json.decode(row["data"]).get("address") for row in rows)
        return next((found for found in named if found), None) == str(address)

    def heard_of_install(self, node: int) -> float | None:
        """When a node's installer last said anything, in a step or in its log; None: never."""
        row = self._db.one(
            "SELECT max(coalesce((SELECT max(at) FROM events WHERE node=? AND kind GLOB 'install.*'), 0),"
            " coalesce((SELECT max(at) FROM logs WHERE node=?), 0)) AS at",
            (node, node),
        )
        return float(row["at"]) if row is not None and row["at"] else None

    def claim(self, mac: str, node: int) -> None:
        """What was recorded of a MAC before it belonged to a node is that node's past."""
        self._db.run("UPDATE events SET node=? WHERE mac=? AND node IS NULL", (node, mac))

    def move(self, old: int, new: int) -> None:
        """A machine became another node: its past goes with it."""
        self._db.run("UPDATE events SET node=? WHERE node=?", (new, old))
        self._db.run("UPDATE logs SET node=? WHERE node=?", (new, old))

    def log(self, node: int, mac: str, at: float, text: str) -> None:
        """Keep a piece of the imager's console log."""
        with self._db.transaction():
            row = self._db.one("SELECT boot FROM flights WHERE mac=?", (mac,))
            boot = row["boot"] if row is not None else None
            cursor = self._db.run(
                "INSERT INTO logs (node, boot, at, text) VALUES (?, ?, ?, ?)", (node, boot, at, text)
            )
            if int(cursor.lastrowid or 0) % 100 == 0:
                self._db.run(
                    "DELETE FROM logs WHERE node=? AND id <="
                    " (SELECT id FROM logs WHERE node=? ORDER BY id DESC"
                    " LIMIT 1 OFFSET ?)",
                    (node, node, LOG_KEEP),
                )

    def log_of(self, node: int, boot: int | None = None, since: int = 0) -> list[tuple[int, str]]:
        """(id, text) of a node's console log, oldest first; of one boot or of all kept."""
        if boot is None:
            rows = self._db.all("SELECT id, text FROM logs WHERE node=? AND id>? ORDER BY id", (node, since))
        else:
            rows = self._db.all(
                "SELECT id, text FROM logs WHERE node=? AND boot=? AND id>? ORDER BY id", (node, boot, since)
            )
        return [(row["id"], row["text"]) for row in rows]

    def prune(self, before: float) -> None:
        """Forget events and logs older than `before`, and of more than a few millions the oldest."""
        with self._db.transaction():
            self._db.run("DELETE FROM events WHERE id<=?", (self.last_id() - KEEP_EVENTS,))
            self._db.run("DELETE FROM events WHERE at<?", (before,))
            self._db.run("DELETE FROM logs WHERE at<?", (before,))


def _event(row: sqlite3.Row) -> Event:
    return Event(
        row["id"], row["at"], row["node"], row["mac"], row["boot"], row["kind"], row["text"],
        msgspec.json.decode(row["data"]),
    )  # fmt: skip
