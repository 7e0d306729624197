"""Texts that answer files are made of, each with all its versions; and the secrets they name.

A text has a kind (`profile`, or a layer: `defaults`, `distribution`, `group`, `node`) and a name within it.
Its versions are counted from 1 and never change. Secrets are kept apart: no version of a text holds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bootsrv.model import AnswerText
from bootsrv.registry.connection import Database

_NEWEST = "SELECT max(number) FROM answer_versions WHERE answer=a.id"


class Profiles:
    """The table of texts, and that of secrets."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, kind: str, name: str, text: str, at: float, author: str, comment: str) -> AnswerText:
        """A new version, of a new text where there was none."""
        with self._db.transaction():
            self._db.run(
                "INSERT INTO answers (kind, name) VALUES (?, ?) ON CONFLICT DO NOTHING", (kind, name)
            )
            row = self._db.one("SELECT id FROM answers WHERE kind=? AND name=?", (kind, name))
            assert row is not None
            newest = self._db.one("SELECT max(number) FROM answer_versions WHERE answer=?", (row[0],))
            number = int((newest and newest[0]) or 0) + 1
            self._db.run(
                "INSERT INTO answer_versions VALUES (?, ?, ?, ?, ?, ?)",
                (row[0], number, text, at, author, comment),
            )
        return AnswerText(kind, name, number, text, at, author, comment)

    def get(self, kind: str, name: str, number: int | None = None) -> AnswerText | None:
        """A version; the newest one without a number."""
        which = "v.number=?" if number is not None else f"v.number=({_NEWEST})"
        found = self._versions(f"a.kind=? AND a.name=? AND {which}", kind, name,
                               *([number] if number is not None else []))  # fmt: skip
        return found[0] if found else None

    def newest(self) -> Sequence[AnswerText]:
        """Every text in its newest version, by kind and name."""
        return self._versions(f"v.number=({_NEWEST})")

    def history(self, kind: str, name: str) -> Sequence[AnswerText]:
        """All versions, the newest first."""
        return self._versions("a.kind=? AND a.name=?", kind, name)

    def remove(self, kind: str, name: str) -> bool:
        """A text and all of its versions."""
        return self._db.run("DELETE FROM answers WHERE kind=? AND name=?", (kind, name)).rowcount > 0

    def _versions(self, where: str, *values: object) -> list[AnswerText]:
        sql = (
            "SELECT a.kind, a.name, v.number, v.text, v.at, v.author, v.comment FROM answers AS a"  # noqa: S608
            f" JOIN answer_versions AS v ON v.answer=a.id WHERE {where}"
            " ORDER BY a.kind, a.name, v.number DESC"
        )
        return [AnswerText(*row) for row in self._db.all(sql, values)]

    def rename(self, kind: str, old: str, new: str) -> None:
        """What is the text of one is the other's from now on; what the other had goes."""
        with self._db.transaction():
            if self._db.one("SELECT id FROM answers WHERE kind=? AND name=?", (kind, old)) is not None:
                self.remove(kind, new)
                self._db.run("UPDATE answers SET name=? WHERE kind=? AND name=?", (new, kind, old))

    def revision(self) -> int:
        """Goes up with whatever may change an answer file that is made of these texts."""
        row = self._db.one("SELECT value FROM counters WHERE name='answers'")
        return int(row[0]) if row is not None else 0

    def secrets(self) -> Mapping[str, str]:
        """All of them, by name."""
        return {
            row[0]: row[1] for row in self._db.all("SELECT name, value FROM answer_secrets ORDER BY name")
        }

    def secret_names(self) -> Mapping[str, float]:
        """When each was set; what may be shown of them."""
        return {row[0]: row[1] for row in self._db.all("SELECT name, at FROM answer_secrets ORDER BY name")}

    def set_secret(self, name: str, value: str, at: float) -> None:
        self._db.run(
            "INSERT INTO answer_secrets VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value=excluded.value, at=excluded.at",
            (name, value, at),
        )

    def remove_secret(self, name: str) -> bool:
        return self._db.run("DELETE FROM answer_secrets WHERE name=?", (name,)).rowcount > 0
