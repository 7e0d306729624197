"""The types of DHCP options: how a value is written by a person, on the wire, and shown again.

RFC 2132 section 2, RFC 1035 section 4.1.4 and RFC 3397 (compressed names), RFC 3442 (classless routes).
Each function gives a Kind; its two halves raise BadValue and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
MAX_VALUE = 1024  # bytes of one option; far more than fits a packet, far less than would hurt


class BadValue(ValueError):
    """The value is not of this type, or out of its range."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: `encode` from what TOML or a form gives, `decode` from the wire, `shape` says it in words."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    shape: str


def _address(value: object) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    if not isinstance(value, str):
        raise BadValue(f"{value!r} is not an IPv4 address")
    try:
        return IPv4Address(value.strip())
    except AddressValueError as error:
        raise BadValue(f"{value!r} is not an IPv4 address") from error


def _items(value: object) -> list[Any]:
    """A text split at commas and blanks, each text of a list too; anything else as a list of one."""
    if isinstance(value, list | tuple):
        return [part for item in value for part in (_items(item) if isinstance(item, str) else [item])]
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [value]


def _addresses(value: object, empty: bool = False) -> list[IPv4Address]:
    found = [_address(item) for item in _items(value)]
    if not found and not empty:
        raise BadValue("the list is empty")
    return found


def _cut(data: bytes, size: int, empty: bool = False) -> list[bytes]:
    if len(data) % size or not (data or empty):
        raise BadValue(f"{len(data)} bytes, not a multiple of {size}")
    return [data[at : at + size] for at in range(0, len(data), size)]


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_VALUE:
        raise BadValue(f"{len(data)} bytes, more than {MAX_VALUE}")
    return data


def address() -> Kind:
    """One IPv4 address."""

    def decode(data: bytes) -> str:
        if len(data) != 4:
            raise BadValue("not four bytes")
        return str(IPv4Address(data))

    return Kind(lambda value: _address(value).packed, decode, "an IPv4 address")


def addresses(empty: bool = False) -> Kind:
    """A list of IPv4 addresses."""
    return Kind(
        lambda value: _bounded(b"".join(item.packed for item in _addresses(value, empty))),
        lambda data: [str(IPv4Address(part)) for part in _cut(data, 4, empty)],
        "a list of IPv4 addresses",
    )


def netmask() -> Kind:
    """A contiguous netmask."""

    def encode(value: object) -> bytes:
        mask = _address(value)
        inverted = ~int(mask) & 0xFFFFFFFF
        if inverted & (inverted + 1):
            raise BadValue(f"{mask} is not a contiguous netmask")
        return mask.packed

    return Kind(encode, address().decode, "a netmask such as 255.255.255.0")


def address_pairs(zero_first: bool = True) -> Kind:
    """Pairs of addresses. RFC 2132 section 5.8: 0.0.0.0 is no legal destination of a static route."""

    def encode(value: object) -> bytes:
        found = _addresses(value)
        if len(found) % 2:
            raise BadValue("an odd number of addresses")
        if not zero_first and any(int(item) == 0 for item in found[::2]):
            raise BadValue("0.0.0.0 is not allowed as a destination, use routers")
        return _bounded(b"".join(item.packed for item in found))

    def decode(data: bytes) -> list[str]:
        return [f"{IPv4Address(part[:4])} {IPv4Address(part[4:])}" for part in _cut(data, 8)]

    return Kind(encode, decode, "pairs of IPv4 addresses")


def _integer(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValue(f"{value!r} is not a whole number")
    try:
        number = int(value)
    except ValueError as error:
        raise BadValue(f"{value!r} is not a whole number") from error
    if not low <= number <= high:
        raise BadValue(f"{number} is not in {low}..{high}")
    return number


def number(size: int, low: int | None = None, high: int | None = None, signed: bool = False) -> Kind:
    """An integer of `size` bytes."""
    bits = 8 * size
    lowest = low if low is not None else (-(1 << (bits - 1)) if signed else 0)
    highest = high if high is not None else ((1 << (bits - 1)) - 1 if signed else (1 << bits) - 1)

    def decode(data: bytes) -> int:
        if len(data) != size:
            raise BadValue(f"{len(data)} bytes, not {size}")
        return int.from_bytes(data, "big", signed=signed)

    return Kind(
        lambda value: _integer(value, lowest, highest).to_bytes(size, "big", signed=signed),
        decode,
        f"a whole number in {lowest}..{highest}",
    )


def numbers(size: int, low: int = 0) -> Kind:
    """A list of integers of `size` bytes each."""
    high = (1 << (8 * size)) - 1

    def encode(value: object) -> bytes:
        items = [_integer(item, low, high) for item in _items(value)]
        if not items:
            raise BadValue("the list is empty")
        return _bounded(b"".join(item.to_bytes(size, "big") for item in items))

    return Kind(
        encode,
        lambda data: [int.from_bytes(part, "big") for part in _cut(data, size)],
        f"a list of whole numbers in {low}..{high}",
    )


def flag() -> Kind:
    """A yes or no."""
    words = {"true": 1, "on": 1, "yes": 1, "1": 1, "false": 0, "off": 0, "no": 0, "0": 0}

    def encode(value: object) -> bytes:
        state = words.get(str(value).strip().lower())
        if state is None:
            raise BadValue(f"{value!r} is neither true nor false")
        return bytes((state,))

    def decode(data: bytes) -> bool:
        if data not in (b"\0", b"\1"):
            raise BadValue("not 0 or 1")
        return data == b"\1"

    return Kind(encode, decode, "true or false")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadValue(f"{value!r} is not a text")
    # JSON can hold halves of surrogate pairs, which no encoding can write.
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in value):
        raise BadValue("control characters are not allowed")
    return value


def _read_text(data: bytes) -> str:
    """RFC 2132 section 2: receivers strip trailing NULs."""
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise BadValue("not UTF-8") from error


def text() -> Kind:
    """A text without control characters."""
    return Kind(lambda value: _bounded(_text(value).encode()), _read_text, "a text")


def uri() -> Kind:
    """An absolute http(s) URI (RFC 8910)."""

    def encode(value: object) -> bytes:
        link = _text(value)
        if not re.match(r"https?://[^\s]+\Z|urn:ietf:params:capport:unrestricted\Z", link):
            raise BadValue(f"{link!r} is not an http or https address")
        return _bounded(link.encode())

    return Kind(encode, _read_text, "an http or https address")


def _labels(name: object) -> list[str]:
    labels = _text(name).strip().rstrip(".").split(".")
    if sum(len(label) + 1 for label in labels) > 254 or not all(LABEL.match(label) for label in labels):
        raise BadValue(f"{name!r} is not a host or domain name")
    return labels


def hostname() -> Kind:
    """A host name, qualified or not."""
    return Kind(lambda value: ".".join(_labels(value)).encode(), _read_text, "a host name")


def domains() -> Kind:
    """A search list in DNS form (RFC 3397); written uncompressed, which every client reads."""

    def encode(value: object) -> bytes:
        out = bytearray()
        for name in _items(value):
            for label in _labels(name):
                out += bytes((len(label),)) + label.encode()
            out.append(0)
        if not out:
            raise BadValue("the list is empty")
        return _bounded(bytes(out))

    return Kind(encode, _read_domains, "a list of domain names")


def _read_domains(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        labels, at = _read_name(data, at)
        found.append(".".join(labels))
    return found


def _read_name(data: bytes, at: int) -> tuple[list[str], int]:
    """One name and where the next begins. A pointer only ever leads backwards, so this ends."""
    labels: list[str] = []
    after, limit = None, len(data)
    while True:
        if at >= limit:
            raise BadValue("a name runs past the end")
        size = data[at]
        if size == 0:
            return labels, at + 1 if after is None else after
        if size >= 0xC0:
            if at + 1 >= len(data):
                raise BadValue("a pointer is cut off")
            target = (size & 0x3F) << 8 | data[at + 1]
            after = at + 2 if after is None else after
            if target >= at:
                raise BadValue("a pointer leads forward")
            # What lies behind the target may be read up to the pointer itself and no further.
            at, limit = target, at
            continue
        label = data[at + 1 : at + 1 + size]
        if size > 63 or len(label) < size or len(labels) > 127:
            raise BadValue("a label is malformed")
        labels.append(label.decode("ascii", "backslashreplace"))
        at += 1 + size


def routes() -> Kind:
    """Classless static routes (RFC 3442): each item "10.0.0.0/8 10.77.0.1" or "10.0.0.0/8 via 10.77.0.1"."""

    def encode(value: object) -> bytes:
        items: Iterable[Any] = value if isinstance(value, list | tuple) else str(value).split(",")
        out = b"".join(_route(item) for item in items)
        if not out:
            raise BadValue("the list is empty")
        return _bounded(out)

    return Kind(encode, _read_routes, 'a list of routes such as "10.0.0.0/8 via 10.77.0.1"')


def _route(item: object) -> bytes:
    words = [str(word) for word in item] if isinstance(item, list | tuple) else str(item).split()
    words = [word for word in words if word != "via"]
    if len(words) != 2:
        raise BadValue(f"{item!r} is not a network and a router")
    try:
        network = IPv4Network("0.0.0.0/0" if words[0] == "default" else words[0])
    except ValueError as error:
        raise BadValue(f"{words[0]!r} is not a network") from error
    significant = network.network_address.packed[: (network.prefixlen + 7) // 8]
    return bytes((network.prefixlen,)) + significant + _address(words[1]).packed


def _read_routes(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        prefix = data[at]
        size = (prefix + 7) // 8
        part = data[at + 1 : at + 5 + size]
        if prefix > 32 or len(part) < size + 4:
            raise BadValue("a route is cut off")
        try:
            network = IPv4Network((part[:size].ljust(4, b"\0"), prefix))
        except ValueError as error:
            raise BadValue("host bits are set") from error
        found.append(f"{network} via {IPv4Address(part[size:])}")
        at += 5 + size
    return found


def raw() -> Kind:
    """Bytes in hex, colons and blanks as one likes."""

    def encode(value: object) -> bytes:
        if isinstance(value, bytes):
            return _bounded(value)
        if not isinstance(value, str):
            raise BadValue(f"{value!r} is not hex")
        try:
            return _bounded(bytes.fromhex(value.replace(":", "").replace("0x", "")))
        except ValueError as error:
            raise BadValue(f"{value!r} is not hex") from error

    return Kind(encode, lambda data: data.hex(":"), "hex such as 01:0a:ff")
