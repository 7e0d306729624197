"""Finding nodes among very many: pages, counts and what waits, without reading the whole table.

Words are matched anywhere in a name, a MAC or a group, and as the beginning of an address (`10.77.` is a
range of integers there, so no text has to be made of 100,000 addresses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bootsrv.model import Node, NodeState
from bootsrv.registry.connection import Database
from bootsrv.registry.nodes import BY_NAME, Nodes

_KNOWN = "state <> 'discovered'"
_WORD = (
    "(name LIKE ? ESCAPE '!' OR EXISTS (SELECT 1 FROM macs WHERE node=nodes.id AND mac LIKE ? ESCAPE '!')"
    " OR EXISTS (SELECT 1 FROM memberships AS m WHERE m.node=nodes.id AND m.name LIKE ? ESCAPE '!')"
    " OR address BETWEEN ? AND ?)"
)


class Search:
    """Looks only."""

    def __init__(self, db: Database, nodes: Nodes) -> None:
        self._db, self._nodes = db, nodes

    def page(
        self, words: Sequence[str], state: NodeState | None, limit: int, offset: int
    ) -> tuple[list[Node], int]:
        """`limit` registered nodes from `offset` on, by name, that match every word; and how many do."""
        where, values = [_KNOWN], []
        if state is not None:
            where.append("state=?")
            values.append(str(state))
        for word in words:
            where.append(_WORD)
            values += _values(word)
        clause = " AND ".join(where)
        count = self._db.one(f"SELECT count(*) FROM nodes WHERE {clause}", values)  # noqa: S608
        rows = self._db.all(
            f"SELECT id FROM nodes WHERE {clause} ORDER BY {BY_NAME}, id LIMIT ? OFFSET ?",  # noqa: S608
            [*values, limit, offset],
        )
        return self._read(rows), int(count[0]) if count is not None else 0

    def unknown(self, limit: int) -> list[Node]:
        """Machines nobody registered, the last seen first."""
        return self._read(
            self._db.all(
                "SELECT id FROM nodes WHERE state='discovered' ORDER BY last_seen DESC, id DESC LIMIT ?",
                (limit,),
            )
        )

    def waiting(self, limit: int) -> list[Node]:
        """Registered nodes that no machine belongs to yet, by name."""
        return self._read(
            self._db.all(
                f"SELECT id FROM nodes WHERE {_KNOWN} AND NOT EXISTS"  # noqa: S608
                " (SELECT 1 FROM macs WHERE node=nodes.id)" + f" ORDER BY {BY_NAME} LIMIT ?",
                (limit,),
            )
        )

    def addresses(self, low: int, high: int) -> list[int]:
        """The registered addresses from `low` to `high`, as integers."""
        rows = self._db.all("SELECT address FROM nodes WHERE address BETWEEN ? AND ?", (low, high))
        return [row[0] for row in rows]

    def has_card_of(self, maker: str) -> bool:
        """Whether any registered MAC begins so."""
        row = self._db.one("SELECT 1 FROM macs WHERE mac>=? AND mac<? LIMIT 1", (maker, maker + "~"))
        return row is not None

    def image_use(self) -> Mapping[str, int]:
        """How many nodes are meant to have each image, by the reference as it was written."""
        rows = self._db.all("SELECT image, count(*) FROM nodes WHERE image IS NOT NULL GROUP BY image")
        return {row[0]: row[1] for row in rows}

    def _read(self, rows: Sequence[Any]) -> list[Node]:
        found = (self._nodes.get(row["id"]) for row in rows)
        return [node for node in found if node is not None]


def _values(word: str) -> list[Any]:
    escaped = "".join(f"!{char}" if char in "!%_" else char for char in word.lower())
    return [f"%{escaped}%"] * 3 + list(_range(word))


def _range(word: str) -> tuple[int, int]:
    """The addresses that begin with `word`, as integers; an empty range when it begins none."""
    parts = word.removesuffix(".").split(".")
    if (
        "." not in word
        or len(parts) > 4
        or not all(p.isascii() and p.isdigit() and len(p) <= 3 for p in parts)
    ):
        return 1, 0
    numbers = [int(part) for part in parts]
    if max(numbers) > 255:
        return 1, 0
    missing = 4 - len(numbers)
    low = int.from_bytes(bytes([*numbers, *[0] * missing]))
    return low, low + 256**missing - 1
