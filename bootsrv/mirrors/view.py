"""Archives as HTTP sees them: who may ask, and what is answered without asking the process that fetches.

The law: only archives that the configuration names, only for machines of our own subnets. What is in the
cache whole and never changes is sent by the kernel from here; for the rest None is given, and the mirror
process is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Interface, ip_address

from bootsrv.config import Config
from bootsrv.mirrors.local import LocalMirrors
from pxe.catalogue import Entry, entry_of
from pxe.http.ports import Denied
from pxe.mirror import kinds
from pxe.mirror.cache import Lookup
from pxe.mirror.server import seconds_of

FOREIGN = "packages are for machines of this server's own subnets only"


class HouseMirrors:
    """`ours`: our addresses with their networks, now."""

    def __init__(self, config: Config, ours: Callable[[], Iterable[IPv4Interface]]) -> None:
        self._config, self._ours = config, ours
        self._cache = Lookup(config.cache_dir)
        self._local = LocalMirrors(config.mirrors_dir)

    def find(self, name: str, rest: str, peer: str) -> Entry | Denied | None:
        """The file `rest` (still quoted) of the archive `name` for the machine at `peer`."""
        local = name in self._local.names()
        if not local and name not in self._config.mirrors:
            return Denied(404, f"there is no archive {name[:60]!r} here")
        if not self._own(peer):
            return Denied(403, FOREIGN)
        path = kinds.clean(rest)
        if local:
            return self._filled(name, path)
        if path is None or not kinds.named(path).immutable:
            return None
        found = self._cache.get(name, path)
        if found is None:
            return None
        return Entry(found.size, seconds_of(found.modified), found.sha256[:32], self._cache.file(found))

    def _filled(self, name: str, path: str | None) -> Entry | Denied:
        found = self._local.find(name, path) if path is not None else None
        entry = entry_of(*found) if found is not None else None
        return entry or Denied(404, f"the archive {name} has no such file (`bootsrv mirror fill` adds some)")

    def _own(self, peer: str) -> bool:
        address = ip_address(peer)
        if address.is_loopback:
            return True
        if not isinstance(address, IPv4Address):
            return False
        if self._config.subnet_of(address) is not None:
            return True
        return any(address in own.network for own in self._ours())
