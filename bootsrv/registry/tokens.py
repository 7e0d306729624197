"""Bearer tokens, kept only as SHA-256: who steals the file cannot use them.

Purposes: `boot` (an imager's, subject = MAC), `home` (a first-boot unit's, subject = node id), `api` (a
person's, subject = user name). A token has 256 bits from the system's generator, so a plain hash is enough:
there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bootsrv.registry.connection import Database

KEEP_PER_SUBJECT = 4  # a boot script can be fetched again before the first one's machine has come up


@dataclass(frozen=True, slots=True)
class Token:
    """What a valid token stands for."""

    purpose: str
    subject: str
    data: Mapping[str, Any]
    expires: float


class Tokens:
    """The token table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def issue(
        self, purpose: str, subject: str, now: float, seconds: float, data: Mapping[str, Any] | None = None
    ) -> str:
        """A new token; its text exists only in the answer. Older ones of the subject go, all but a few."""
        text = secrets.token_urlsafe(32)
        with self._db.transaction():
            self._db.run("DELETE FROM tokens WHERE expires<?", (now,))
            self._db.run(
                "DELETE FROM tokens WHERE purpose=? AND subject=? AND hash NOT IN (SELECT hash FROM tokens"
                " WHERE purpose=? AND subject=? ORDER BY created DESC LIMIT ?)",
                (purpose, subject, purpose, subject, KEEP_PER_SUBJECT - 1),
            )
            body = msgspec.json.encode(dict(data or {})).decode()
            self._db.run(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
                (_hash(text), purpose, subject, body, now, now + seconds),
            )
        return text

    def check(self, text: str, now: float) -> Token | None:
        """What this token stands for, or None when it is unknown or has expired."""
        row = self._db.one("SELECT * FROM tokens WHERE hash=? AND expires>?", (_hash(text), now))
        if row is None:
            return None
        return Token(row["purpose"], row["subject"], msgspec.json.decode(row["data"]), row["expires"])

    def is_newest(self, text: str) -> bool:
        """Whether no other token of the same purpose and subject was issued after it."""
        row = self._db.one(
            "SELECT (SELECT max(rowids.created) FROM tokens AS rowids WHERE rowids.purpose=own.purpose"
            " AND rowids.subject=own.subject) AS newest, own.created FROM tokens AS own WHERE own.hash=?",
            (_hash(text),),
        )
        return row is not None and row["newest"] == row["created"]

    def extend(self, text: str, expires: float) -> None:
        """A token in use lives on."""
        self._db.run("UPDATE tokens SET expires=? WHERE hash=?", (expires, _hash(text)))

    def set_data(self, text: str, data: Mapping[str, Any]) -> None:
        """Replace what is kept with a token."""
        body = msgspec.json.encode(dict(data)).decode()
        self._db.run("UPDATE tokens SET data=? WHERE hash=?", (body, _hash(text)))

    def revoke(self, purpose: str, subject: str) -> None:
        """Every token of this purpose and subject ends now."""
        self._db.run("DELETE FROM tokens WHERE purpose=? AND subject=?", (purpose, subject))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
