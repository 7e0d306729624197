"""One `dhcp-host` of dnsmasq: MACs, `id:`, `set:`, an address, a name and a lease time in any order. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from bootsrv.importing import values
from bootsrv.importing.dnsmasq_ranges import lease_seconds
from bootsrv.importing.imported import ImportedNode
from bootsrv.importing.values import BadWord

_TYPE = re.compile(r"[0-9A-Fa-f]{1,2}\Z")
_MAC_LIKE = re.compile(r"([0-9A-Fa-f]{1,2}-)?[0-9A-Fa-f*]{1,2}([:-][0-9A-Fa-f*]{1,2}){5,}\Z")


@dataclass(slots=True)
class Host:
    """What one line says; `node` is its name once it can be a node. `lost` are remarks for notes."""

    line: int
    node: str | None = None
    macs: list[str] = field(default_factory=list)
    address: IPv4Address | None = None
    sets: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    identities: list[tuple[str, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def build(self, groups: tuple[str, ...]) -> ImportedNode:
        """The node. Only when `node` is set."""
        name = self.node or ""
        return ImportedNode(name, tuple(self.macs), self.address, groups, self.options, self.line,
                            tuple(self.identities))  # fmt: skip


def read_host(words: Sequence[str], line: int) -> Host:
    """Read the words of one line. Raises BadWord."""
    host = Host(line)
    name = ""
    for word in words:
        prefix, colon, value = word.partition(":")
        if not word or _MAC_LIKE.match(word):
            _mac(host, word)
        elif colon and prefix in ("set", "net"):
            host.sets.append(value)
        elif colon and prefix == "id" and value != "*":
            host.identities.append(("client-id", values.identity(value, quoted=False)))
        elif colon or word == "ignore":
            host.lost.append(f"{word[:40]}: not taken over")
            if word == "ignore":
                raise BadWord("bootsrv cannot be told to ignore one machine")
        elif word[0].isdigit() and word.count(".") == 3:
            host.address = values.address(word)
        elif (seconds := lease_seconds(word)) is not None:
            key, typed = values.option("dhcp-lease-time", seconds)
            host.options[key] = typed
        elif not name:
            name = word
        else:
            raise BadWord(f"{word[:40]!r} is not understood")
    known = [mac.replace(":", "") for mac in host.macs] + [text[2:42] for _kind, text in host.identities]
    if not known:
        raise BadWord("neither a MAC nor an id: register it by hand (`bootsrv node add`)")
    # Without a name dnsmasq uses the one that the client gives itself; a node must have one.
    host.node = values.node_name(name or f"node-{known[0]}")
    return host


def _mac(host: Host, word: str) -> None:
    if not word:
        return
    kind, dash, rest = word.partition("-")
    if dash and ":" in rest and _TYPE.match(kind):  # `01-11:22:...`: a hardware type in front; 1 is Ethernet
        if int(kind, 16) != 1:
            host.lost.append(f"{word[:40]}: only Ethernet addresses are taken over")
            return
        word = rest
    if "*" in word:
        host.lost.append(f"{word[:40]}: wildcards are not taken over")
        return
    host.macs.append(values.mac(word))
