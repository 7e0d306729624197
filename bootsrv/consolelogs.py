"""What a machine may write over TFTP: its console log, while it is armed. Implements `tftp.ports.Uploads`.

For rescue systems, loaders and installers that have a TFTP client and nothing better (`busybox tftp -p -l LOG
-r console.log SERVER`); it joins what the imager says, in `bootsrv log`. Captures come over HTTP, with a
token. The laws: who is not armed, or not known by its address, writes nothing; what comes is text in the
registry, never a file; all machines together hold AT_ONCE logs of LIMIT bytes in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from bootsrv.names import printable
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from pxe.tftp.ports import Upload

NAME = "console.log"
LIMIT = 256 << 10  # bytes of one log
AT_ONCE = 64  # machines that write theirs


class ConsoleLogs:
    """`keep` stores a finished log: MAC and text. Called on the event loop."""

    def __init__(self, registry: Registry, peers: Peers, keep: Callable[[str, str], None]) -> None:
        self._registry, self._peers, self._keep = registry, peers, keep
        self._open: set[str] = set()  # MACs

    def begin(self, name: str, peer: str, size: int | None) -> Upload | None:
        """See Uploads."""
        if name.lstrip("/").lower() != NAME or (size or 0) > LIMIT or len(self._open) >= AT_ONCE:
            return None
        mac = self._peers.mac_of(peer)
        node = self._registry.machine(mac) if mac is not None else None
        if mac is None or node is None or node.armed is None or mac in self._open:
            return None
        self._open.add(mac)
        return _Log(mac, self._keep, self._open.discard)


class _Log:
    """One log on its way in."""

    limit = LIMIT

    def __init__(self, mac: str, keep: Callable[[str, str], None], ended: Callable[[str], None]) -> None:
        self._mac, self._keep, self._ended = mac, keep, ended
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        """See Upload."""
        self._data += data

    def finish(self) -> None:
        """See Upload."""
        self._ended(self._mac)
        text = printable(self._data.decode("utf-8", "replace"))
        if text:
            self._keep(self._mac, text)

    def abort(self, reason: str) -> None:
        """See Upload: a part of a log tells nobody that a part is missing."""
        self._ended(self._mac)
