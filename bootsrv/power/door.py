"""Where a machine's power switch is, as an admin writes it, and what every kind of switch can do. Pure.

    ipmi://USER@HOST[:PORT][?cipher=N]    IPMI 2.0 (lanplus); N: 3 and 17 are common, else it is asked for
    redfish://USER@HOST[:PORT][/redfish/v1/Systems/ID]    over HTTPS; redfish+http:// where a lab has no TLS

A password is never part of it: addresses are shown, listed and logged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

from bootsrv.errors import Invalid

PORTS = {"ipmi": 623, "redfish": 443, "redfish+http": 80}
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}\Z")
_USER = re.compile(r"[\x21-\x7e]{1,64}\Z")
_CIPHER = re.compile(r"cipher=(\d{1,3})\Z")
_SYSTEM = re.compile(r"/redfish/v1/Systems/[A-Za-z0-9._-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Door:
    """A management controller. `system`: the path of one of several machines behind it; `cipher`: number of
    an IPMI cipher suite."""

    kind: str
    user: str
    host: str
    port: int
    system: str | None = None
    cipher: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.kind] else f":{self.port}"
        cipher = "" if self.cipher is None else f"?cipher={self.cipher}"
        return f"{self.kind}://{self.user}@{host}{port}{self.system or ''}{cipher}"


class Switch(Protocol):
    """One machine's power. Every method raises BootsrvError with a line that says what to do."""

    def is_on(self) -> bool | None:
        """None: nobody can tell."""

    def on(self) -> None: ...

    def off(self, hard: bool) -> None:
        """Without `hard` the system is asked to shut down, and may take its time."""

    def cycle(self) -> None:
        """Off and on at once, whatever the system does; on, where it is off."""

    def network_next(self) -> None:
        """The next boot, and only that one, is by network."""


def parse(text: str) -> Door:
    """Raises Invalid."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise Invalid(f"{text}: {error}") from error
    if url.scheme not in PORTS:
        raise Invalid(f"{text}: begins with none of {', '.join(f'{kind}://' for kind in PORTS)}")
    if url.password is not None:
        raise Invalid("a password does not belong into the address; it is asked for, or --password-file")
    user, host = unquote(url.username or ""), url.hostname or ""
    if not _USER.match(user) or not _HOST.match(host) or host.startswith("-"):
        raise Invalid(f"{text}: is not of the form {url.scheme}://USER@HOST[:PORT]")
    system, cipher = url.path.rstrip("/") or None, _CIPHER.match(url.query) if url.query else None
    wrong = (url.query and (cipher is None or url.scheme != "ipmi")) or url.fragment
    if wrong or (system and (url.scheme == "ipmi" or not _SYSTEM.match(system))):
        raise Invalid(f"{text}: {url.path}{'?' if url.query else ''} does not belong there")
    number = int(cipher[1]) if cipher is not None else None
    return Door(url.scheme, user, host, port or PORTS[url.scheme], system, number)
