"""What is remembered of a node's controller: its address in the registry, where everybody may see it; its
password in a file for root alone, which the service's processes cannot read.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bootsrv.config import Config
from bootsrv.power.door import Door, parse
from bootsrv.registry.registry import Registry
from images.disk import write_file

_SETTING = "power."


@dataclass(frozen=True, slots=True)
class Secret:
    """`certificate`: SHA-256 of the one that the password may be given to, see `redfish`."""

    password: str
    certificate: str


class Kept:
    """By node number. Raises OSError (PermissionError: a secret is not for this user)."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._folder = config.data_dir / "keys" / "power"
        self._settings = registry.settings

    def door(self, node: int) -> Door | None:
        """Its controller; None: it has none."""
        text = self._settings.get(f"{_SETTING}{node}")
        return parse(text) if text else None

    def secret(self, node: int) -> Secret | None:
        """None when none is kept."""
        try:
            kept = json.loads(self._file(node).read_bytes())
        except FileNotFoundError:
            return None
        return Secret(str(kept["password"]), str(kept["certificate"]))

    def keep(self, node: int, door: Door, secret: Secret) -> None:
        """Both, the secret first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = {"password": secret.password, "certificate": secret.certificate}
        write_file(self._file(node), json.dumps(data).encode(), mode=0o600)
        self._settings.set(f"{_SETTING}{node}", str(door))

    def forget(self, node: int) -> None:
        """Safe where there is none. A process that may not reach the secret leaves it: numbers of nodes are
        never used again."""
        self._settings.drop(f"{_SETTING}{node}")
        with suppress(PermissionError):
            self._file(node).unlink(missing_ok=True)

    def _file(self, node: int) -> Path:
        return self._folder / f"{int(node)}.json"
