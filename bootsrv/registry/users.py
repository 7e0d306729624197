"""People who may log in. Passwords are kept as scrypt hashes; a check takes as long for a name nobody has."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from bootsrv.registry.connection import Database

_N, _R, _P, _LENGTH = 2**14, 8, 1, 32


class Users:
    """The user table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def set_password(self, name: str, password: str, now: float) -> None:
        """Make the user, or give it a new password."""
        self._db.run(
            "INSERT INTO users VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET hash=excluded.hash",
            (name, hash_password(password), now),
        )

    def check(self, name: str, password: str) -> bool:
        """Whether this is the user's password."""
        row = self._db.one("SELECT hash FROM users WHERE name=?", (name,))
        known = str(row["hash"]) if row is not None else _NOBODY
        return matches(known, password) and row is not None

    def names(self) -> list[str]:
        return [row["name"] for row in self._db.all("SELECT name FROM users ORDER BY name")]

    def fingerprint(self, name: str) -> str | None:
        """Changes with the password, so that a session can notice; None when there is no such user."""
        row = self._db.one("SELECT hash FROM users WHERE name=?", (name,))
        return hashlib.sha256(str(row["hash"]).encode()).hexdigest()[:16] if row is not None else None

    def remove(self, name: str) -> bool:
        return self._db.run("DELETE FROM users WHERE name=?", (name,)).rowcount > 0


def hash_password(password: str) -> str:
    """`scrypt$N$r$p$salt$key`, the last two in base64."""
    salt = secrets.token_bytes(16)
    return _text(salt, _scrypt(password, salt, _N, _R, _P))


def matches(stored: str, password: str) -> bool:
    """Whether the password gives the stored hash, compared in constant time."""
    _, n, r, p, salt, key = stored.split("$")
    made = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(made, base64.b64decode(key))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=64 * 2**20, dklen=_LENGTH)


def _text(salt: bytes, key: bytes) -> str:
    return "$".join(
        ("scrypt", str(_N), str(_R), str(_P), base64.b64encode(salt).decode(), base64.b64encode(key).decode())
    )


_NOBODY = _text(bytes(16), bytes(_LENGTH))
