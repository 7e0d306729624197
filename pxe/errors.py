"""The errors of this room, one tree each for the peer and for the person who set it up.

A WireError is about the peer's bytes: it is counted and answered by the protocol's own means (drop, ERROR
packet, 400), and never ends a server. A SettingError is about what an administrator wrote: it names the key
and the reason.
"""

from __future__ import annotations


class WireError(Exception):
    """The peer's bytes are not a valid message; the text says which field and why."""


class SettingError(Exception):
    """A setting that cannot be used. `key` is relative to what was being read (`pools[1]`,
    `options.routers`)."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class ForeignServer(Exception):
    """Another DHCP server answers where we were asked to be the authority; the text names it and what to
    do."""


class ParserFailed(Exception):
    """An installer's own parser could not be asked; the text says how to get it. No verdict on a file."""
