"""Small things the appliance made for itself once and must find again: the session secret, first-start
marks."""

from __future__ import annotations

import secrets

from bootsrv.registry.connection import Database


class Settings:
    """Names to texts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, name: str) -> str | None:
        row = self._db.one("SELECT value FROM settings WHERE name=?", (name,))
        return str(row["value"]) if row is not None else None

    def set(self, name: str, value: str) -> None:
        self._db.run(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (name, value),
        )

    def drop(self, name: str) -> None:
        """Safe where there is none."""
        self._db.run("DELETE FROM settings WHERE name=?", (name,))

    def secret(self, name: str) -> str:
        """A secret of this appliance; made at the first asking, the same ever after."""
        with self._db.transaction():
            found = self.get(name)
            if found is None:
                found = secrets.token_hex(32)
                self.set(name, found)
        return found
