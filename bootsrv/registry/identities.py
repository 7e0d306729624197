"""How a node is known besides its MACs: DHCP client identifier, system UUID, serial number, or the relay port
it hangs on (option 82). Kept among the settings, one for each identity, under a name that is looked up
directly.
"""

from __future__ import annotations

from collections.abc import Iterable

from bootsrv.registry.connection import Database

PREFIX = "identity."
KINDS = ("client-id", "uuid", "serial", "circuit-id", "remote-id")
GUEST = "guest."  # of a MAC: the node whose place it was last seen at


class Identities:
    """(kind, value) -> node id. Values are lower-case texts: hexadecimal, a UUID, or a serial number."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def node_of(self, known: Iterable[tuple[str, str]]) -> int | None:
        """The node that one of these identities belongs to; the first that does."""
        names = [f"{PREFIX}{kind}.{value}" for kind, value in known]
        if not names:
            return None
        marks = ", ".join("?" * len(names))
        rows = self._db.all(f"SELECT name, value FROM settings WHERE name IN ({marks})", names)  # noqa: S608
        found = {str(row["name"]): int(row["value"]) for row in rows}
        return next((found[name] for name in names if name in found), None)

    def of(self, node: int) -> list[tuple[str, str]]:
        """The identities of a node."""
        rows = self._db.all(
            "SELECT name FROM settings WHERE name GLOB ? AND value=? ORDER BY name", (f"{PREFIX}*", str(node))
        )
        pairs = (str(row["name"]).removeprefix(PREFIX).split(".", 1) for row in rows)
        return [(kind, value) for kind, value in pairs]

    def set(self, node: int, kind: str, value: str) -> None:
        """Give an identity to a node, taking it from whoever had it."""
        self._db.run(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (f"{PREFIX}{kind}.{value}", str(node)),
        )

    def any(self, kind: str) -> bool:
        """Whether some node is known by an identity of this kind."""
        return self._db.one("SELECT 1 FROM settings WHERE name GLOB ?", (f"{PREFIX}{kind}.*",)) is not None

    def guest(self, mac: str) -> int | None:
        """The node at whose place this card was last seen, whoever it is registered for."""
        row = self._db.one("SELECT value FROM settings WHERE name=?", (f"{GUEST}{mac}",))
        return int(row["value"]) if row is not None else None

    def set_guest(self, mac: str, node: int | None) -> None:
        """Remember that, or with None forget it."""
        if node is None:
            self._db.run("DELETE FROM settings WHERE name=?", (f"{GUEST}{mac}",))
            return
        self._db.run(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (f"{GUEST}{mac}", str(node)),
        )

    def clear(self, node: int) -> None:
        """Take all identities of a node away."""
        self._db.run("DELETE FROM settings WHERE name GLOB ? AND value=?", (f"{PREFIX}*", str(node)))
