"""The secrets that profiles name: `passphrase = "secret:NAME"`. Set and used, never shown.

`secret:disk-key` is each node's own passphrase, the same that an imaged node's encrypted disk has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bootsrv import diskkeys
from bootsrv.errors import Conflict, Invalid, NotFound
from bootsrv.model import Node
from bootsrv.registry.registry import Registry
from pxe.answers.text import is_line

DISK_KEY = "disk-key"
MASK = "********"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_LONGEST = 512  # bytes: cryptsetup's limit when it reads a passphrase from a terminal


class Secrets:
    """Verbs on secrets."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock

    def list(self) -> Mapping[str, float]:
        """When each was set, by name."""
        return self._registry.profiles.secret_names()

    def set(self, name: str, value: str) -> None:
        """Make or change one. Raises Invalid."""
        if not _NAME.match(name) or name == DISK_KEY:
            raise Invalid(f"secret {name!r}: use 1 to 63 letters, digits . _ - (not `{DISK_KEY}`)")
        if not value or not is_line(value) or len(value.encode()) > _LONGEST:
            raise Invalid(f"the secret must be one line of 1 to {_LONGEST} bytes")
        self._registry.profiles.set_secret(name, value, self._clock())

    def remove(self, name: str) -> None:
        """Raises NotFound; Conflict while a profile names it."""
        used = [one.name for one in self._registry.profiles.newest()
                if re.search(rf"secret:{re.escape(name)}(?![A-Za-z0-9_.-])", one.text)]  # fmt: skip
        if used:
            raise Conflict(f"the secret {name} is named by {', '.join(used)}")
        if not self._registry.profiles.remove_secret(name):
            raise NotFound(f"there is no secret {name!r}")

    def of(self, node: Node, masked: bool) -> Mapping[str, str]:
        """All that a node's profile may name."""
        if masked:
            return dict.fromkeys((*self.list(), DISK_KEY), MASK)
        own: dict[str, Any] = {DISK_KEY: diskkeys.passphrase(self._registry, node)} if node.id else {}
        return {**self._registry.profiles.secrets(), **own}
