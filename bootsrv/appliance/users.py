"""The verbs on people: who may log in, and the tokens their scripts use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from bootsrv import names
from bootsrv.errors import Invalid, NotFound
from bootsrv.registry.registry import Registry

MIN_PASSWORD = 8
API_TOKEN_SECONDS = 365 * 86400.0
ADMIN = "admin"


class Users:
    """Verbs on users."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock

    def list(self) -> Sequence[str]:
        return self._registry.users.names()

    def check(self, name: str, password: str) -> bool:
        """Whether this is the user's password; takes as long for a name nobody has."""
        return len(password) <= 1024 and self._registry.users.check(name, password)

    def fingerprint(self, name: str) -> str | None:
        """Changes with the user's password (sessions made before end); None: no such user."""
        return self._registry.users.fingerprint(name)

    def set_password(self, name: str, password: str) -> None:
        """Make a user or change the password. Raises Invalid."""
        if len(password) < MIN_PASSWORD:
            raise Invalid(f"the password needs at least {MIN_PASSWORD} characters")
        if len(password) > 1024:
            raise Invalid("the password has more than 1024 characters")
        self._registry.users.set_password(names.user(name), password, self._clock())

    def remove(self, name: str) -> None:
        """Raises NotFound."""
        if not self._registry.users.remove(name):
            raise NotFound(f"there is no user {name!r}")
        self._registry.tokens.revoke("api", name)

    def first_admin(self) -> str | None:
        """The password of a new `admin`, when there is no user at all yet; it is told this once."""
        with self._registry.transaction():
            if self._registry.users.names():
                return None
            password = new_password()
            self._registry.users.set_password(ADMIN, password, self._clock())
            return password

    def session_secret(self) -> str:
        """What the web process signs its session cookies with."""
        return self._registry.settings.secret("session")

    def issue_token(self, name: str) -> str:
        """A bearer token for the REST API, valid for a year; its text exists only in the answer."""
        if name not in self.list():
            raise NotFound(f"there is no user {name!r}")
        return self._registry.tokens.issue("api", name, self._clock(), API_TOKEN_SECONDS)

    def of_token(self, token: str) -> str | None:
        """Whose API token this is."""
        found = self._registry.tokens.check(token, self._clock())
        return found.subject if found is not None and found.purpose == "api" else None


def new_password() -> str:
    """One that can be read out aloud: 64 random bits in groups of four."""
    return "-".join(secrets.token_hex(2) for _ in range(4))
