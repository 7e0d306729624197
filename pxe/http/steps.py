"""What the flight recorder is told of a file on its way: it is a step of a machine's boot."""

from __future__ import annotations

import time

from pxe.ports import PeerJournal


class Step:
    """`name` begins to go to `peer` now; `ended` once, whatever comes of it."""

    __slots__ = ("_began", "_journal", "_name", "_peer", "_size")

    def __init__(self, journal: PeerJournal, peer: str, name: str, size: int) -> None:
        self._journal, self._peer, self._name, self._size = journal, peer, name, size
        self._began = time.monotonic()
        journal.record_peer(peer, "http.start", f"GET {name}", {"file": name, "size": size})

    def ended(self, sent: int, whole: bool) -> None:
        """`sent` bytes went out; `whole`: all that was promised."""
        seconds = int((time.monotonic() - self._began) * 1e4) / 1e4
        text = f"{self._name} {'sent' if whole else 'broken off'}, {sent} bytes in {seconds:.2f} s"
        data = {
            "file": self._name, "bytes": sent, "size": self._size, "seconds": seconds, "aborted": not whole,
        }  # fmt: skip
        self._journal.record_peer(self._peer, "http.done", text, data)
