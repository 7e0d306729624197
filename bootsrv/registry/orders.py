"""Orders to agents on running machines, and when each agent last asked for one.

An order lives as long as somebody waits for its end. It holds no secret: what it opens in the store, it opens
for the machine whose token has the hash `secret`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bootsrv.registry.connection import Database

WAITING, TAKEN, DONE, FAILED = "waiting", "taken", "done", "failed"


@dataclass(frozen=True, slots=True)
class AgentCall:
    """An agent asked at `called` (epoch seconds) with the token of hash `secret`; it can be rung at
    `address`, UDP `port` (0: not at all)."""

    secret: bytes
    called: float
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    """`sealed`: what the machine gets; `opens`: what it may fetch for it; `made` and `heard` (when it
    last said something): epoch seconds; `error`: why it failed."""

    number: int
    node: int
    secret: bytes
    sealed: Mapping[str, Any]
    opens: Mapping[str, Any]
    state: str
    made: float
    heard: float
    error: str


class Orders:
    """The tables `agents`, `orders` and `order_lines`; a node that was removed takes its rows along."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # --- agents

    def agent(self, node: int) -> AgentCall | None:
        """The last call of this node's agent; None when it never called."""
        row = self._db.one("SELECT * FROM agents WHERE node=?", (node,))
        return AgentCall(row["secret"], row["called"], row["address"], row["port"]) if row else None

    def agents(self) -> int:
        """How many nodes have one."""
        row = self._db.one("SELECT count(*) FROM agents")
        return int(row[0]) if row else 0

    def called(self, calls: Mapping[int, AgentCall]) -> None:
        """Remember calls, by node; nodes that are gone are left out."""
        self._db.many(
            "INSERT INTO agents (node, secret, called, address, port)"
            " SELECT id, ?, ?, ?, ? FROM nodes WHERE id=?"
            " ON CONFLICT (node) DO UPDATE SET secret=excluded.secret, called=excluded.called,"
            " address=excluded.address, port=excluded.port",
            [(call.secret, call.called, call.address, call.port, node) for node, call in calls.items()],
        )

    # --- orders

    def new(self, node: int, secret: bytes, opens: Mapping[str, Any], now: float) -> int:
        """The number of a new order, which nobody gets before it is sealed. One that a node still has is
        void.

        Machines take no number that is lower than the last, so it is the time in ms where that is higher:
        then also a registry that was put back from a backup goes on.
        """
        with self._db.transaction():
            last = self._db.one("SELECT seq FROM sqlite_sequence WHERE name='orders'")
            number = max(int(now * 1000), last[0] + 1 if last else 1)
            self._db.run("DELETE FROM orders WHERE node=?", (node,))
            self._db.run(
                "INSERT INTO orders (number, node, secret, opens, state, made, heard)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, node, secret, _json(opens), WAITING, now, now),
            )
        return number

    def seal(self, number: int, sealed: Mapping[str, Any]) -> None:
        """From now on its node gets it."""
        self._db.run("UPDATE orders SET sealed=? WHERE number=?", (_json(sealed), number))

    def of(self, node: int, secret: bytes) -> OrderRow | None:
        """The order for the holder of that token, if there is one."""
        row = self._db.one(
            "SELECT * FROM orders WHERE node=? AND secret=? AND sealed<>'' ORDER BY number DESC",
            (node, secret),
        )
        return _order(row) if row else None

    def get(self, number: int) -> OrderRow | None:
        """One order; None when it was taken back."""
        row = self._db.one("SELECT * FROM orders WHERE number=?", (number,))
        return _order(row) if row else None

    def step(self, number: int, state: str, now: float, error: str = "") -> None:
        """Its node has done something with it."""
        self._db.run(
            "UPDATE orders SET state=?, heard=?, error=? WHERE number=?", (state, now, error, number)
        )

    def withdraw(self, number: int) -> bool:
        """Take it back; False when its node has taken it already."""
        gone = self._db.run("DELETE FROM orders WHERE number=? AND state=?", (number, WAITING))
        return gone.rowcount > 0

    def remove(self, number: int) -> None:
        """Forget it: nobody waits for it any more."""
        self._db.run("DELETE FROM orders WHERE number=?", (number,))

    def say(self, number: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Keep what its node says."""
        self._db.many(
            "INSERT INTO order_lines (number, line) VALUES (?, ?)", [(number, _json(line)) for line in lines]
        )

    def said(self, number: int, since: int) -> list[tuple[int, Mapping[str, Any]]]:
        """What its node said after line `since`: (line, what)."""
        rows = self._db.all(
            "SELECT id, line FROM order_lines WHERE number=? AND id>? ORDER BY id", (number, since)
        )
        return [(row["id"], msgspec.json.decode(row["line"])) for row in rows]


def _order(row: Any) -> OrderRow:
    return OrderRow(
        row["number"], row["node"], row["secret"], msgspec.json.decode(row["sealed"] or "{}"),
        msgspec.json.decode(row["opens"]), row["state"], row["made"], row["heard"], row["error"],
    )  # fmt: skip


def _json(value: Any) -> str:
    return msgspec.json.encode(dict(value)).decode()
