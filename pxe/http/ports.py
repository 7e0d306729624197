"""What the HTTP server needs from above, as Protocols. The house implements them (`bootsrv.site`).

Two kinds of call, so that one slow write never holds up a transfer:
`boot_file` and `public` are look-ups in memory, called on the event loop. `boot_script`, `boot_made`,
`tree`, `mirror`, `store` and `node` may touch SQLite or read from disk: all of them are called from ONE
worker thread, one at a time, so that one connection (opened with check_same_thread=False) is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pxe import ipxe
from pxe.catalogue import Entry


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """One call of the node API (`/node/v1/...`), body read."""

    method: str  # "GET", "POST"
    path: str  # below /node/v1/, without a leading slash: "task"
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # at most `Limits.node_body` bytes; larger ones are refused with 413 before this
    peer: str  # IP address as text
    token: str | None = None  # of "Authorization: Bearer TOKEN"
    waited: float = 0.0  # seconds since the request arrived, for long polls


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer."""

    status: int = 200
    body: bytes = b""
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing yet: ask again after `seconds` with `waited` grown. The house decides when it has waited enough
    (and replies 204); the server gives up by itself after `Limits.longest_wait`."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Denied:
    """The thing may exist, but not for this token."""

    status: int = 403  # 401: no token or an unknown one; 403: a token for something else
    text: str = "this token does not give access to that"


class Site(Protocol):
    """The house, seen from HTTP. An exception from any of these is logged with its traceback and answered
    with 500."""

    def boot_script(
        self, mac: str, query: Mapping[str, str], peer: str, local: str = "", waited: float = 0.0,
        file: str = ipxe.FILE,
    ) -> str | Denied | Wait:
        """The script `file` (of iPXE or GRUB) for a machine; `mac` is lower-case with colons, `peer` the
        address that asks, `local` our address that it reached, if any, `waited` seconds since it asked.
        Unknown MACs are answered too; Denied: the peer is another machine; Wait: that cannot be told yet."""

    def boot_file(self, name: str) -> Entry | None:
        """What /boot/NAME stands for (`imager/vmlinuz`, `imager/initrd.img`, a loader)."""

    def boot_made(self, name: str, peer: str) -> Entry | None:
        """What /boot/NAME is for the machine at `peer`, where `boot_file` knows nothing of it."""

    def public(self, name: str) -> Entry | None:
        """What /public/NAME stands for (`Catalogue.public`)."""

    def tree(self, tree: str, name: str) -> Entry | None:
        """What /tree/TREE/NAME stands for: a file of an install tree, by that tree's own list."""

    def mirror(self, name: str, path: str, peer: str) -> Entry | Denied | None:
        """What /mirror/NAME/PATH (still quoted) stands for, for the machine at `peer`; None: ask the process
        that fetches packages."""

    def store(self, kind: str, id: str, token: str | None) -> Path | bytes | Denied | Wait | None:
        """What /store/KIND/ID stands for: KIND is `manifests`, `locators`, `packs` or
        `patches`, ID is [0-9a-zA-Z._-]+. Wait: it is being made.
        What it names never changes: the ID is its ETag."""

    def agent(self, server: str) -> bytes:
        """The agent for running machines, made to talk to `server` (http://HOST:PORT, or
        https:// where it was asked for over HTTPS)."""

    def node(self, request: NodeRequest) -> Reply | Wait:
        """The node API."""

    def install(self, token: str, name: str, request: NodeRequest) -> Reply | Wait:
        """What /install/TOKEN/NAME is for this peer: an answer file, or what comes of an installer's call."""

    def install_sent(self, token: str, name: str) -> None:
        """What /install/TOKEN/NAME was has left whole."""
