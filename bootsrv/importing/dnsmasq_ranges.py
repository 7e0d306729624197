"""One `dhcp-range` of dnsmasq: [tag:T,][set:S,]START[,END|static|proxy][,MASK[,BROADCAST]][,LEASE]. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bootsrv.importing import values
from bootsrv.importing.values import BadWord
from pxe.dhcp.subnet import FOR_EVER, Mode

DEFAULT_LEASE = 3600  # seconds; dnsmasq(8)
_LEASE = re.compile(r"([0-9]{1,9})([smhdw]?)\Z")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MODES = {"static", "proxy"}


@dataclass(frozen=True, slots=True)
class Range:
    """What one line says. `last` None: no addresses are given out from it."""

    cidr: IPv4Network
    first: IPv4Address
    last: IPv4Address | None
    lease_seconds: int
    mode: Mode
    static: bool  # only hosts that are listed get an address
    guessed: bool  # the netmask was not given
    sets: tuple[str, ...]
    tags: tuple[str, ...]
    interface: str


def lease_seconds(word: str) -> int | None:
    """`12h`, `45m`, `3600`, `infinite` in seconds; None when the word is no time."""
    if word.lower() == "infinite":
        return FOR_EVER
    match = _LEASE.match(word.lower())
    return min(int(match[1]) * _UNITS[match[2]], FOR_EVER) if match else None


def read_range(words: Sequence[str]) -> Range:
    """Read the words of one line. Raises BadWord."""
    sets, tags, interface, rest = _front(words)
    if not rest:
        raise BadWord("no address")
    if ":" in rest[0]:
        raise BadWord("IPv6 is not taken over")
    first = values.address(rest[0])
    mode = rest[1].lower() if len(rest) > 1 else ""
    last = None if mode in _MODES or not mode else values.address(rest[1])
    lease, masks = DEFAULT_LEASE, []
    for word in rest[2:]:
        seconds = lease_seconds(word)
        if seconds is not None:
            lease = seconds
        elif word:
            masks.append(word)
    if len(masks) > 2:
        raise BadWord("more than a netmask and a broadcast address")
    cidr = values.network(str(first), masks[0]) if masks else _guess(first, last)
    proxy = mode == "proxy"
    return Range(
        cidr, first, last, lease, Mode.PROXY if proxy else Mode.AUTHORITATIVE, mode == "static", not masks,
        sets, tags, interface,
    )  # fmt: skip


def _front(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], str, list[str]]:
    """`set:`, `tag:`, `interface:` and the old `net:` (which sets), and the rest."""
    sets: list[str] = []
    tags: list[str] = []
    interface = ""
    for place, word in enumerate(words):
        prefix, colon, value = word.partition(":")
        if colon and prefix in ("set", "net"):
            sets.append(value)
        elif colon and prefix == "tag":
            tags.append(value)
        elif colon and prefix == "interface":
            interface = value
        else:
            return tuple(sets), tuple(tags), interface, list(words[place:])
    return tuple(sets), tuple(tags), interface, []


def _guess(first: IPv4Address, last: IPv4Address | None) -> IPv4Network:
    """dnsmasq takes the netmask of its interface, which the file does not say: the usual /24, or larger."""
    network = IPv4Network((first, 24), strict=False)
    while last is not None and last not in network and network.prefixlen > 8:
        network = network.supernet()
    return network
