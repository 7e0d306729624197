"""What an administrator puts into the zone beside the nodes: `[[dns.records]]`, as records of pxe.dns. Pure.

RFC 1035 section 3.3, 2782 (SRV), 2181 section 10.1 (an alias stands alone). Names are relative to the domain;
"@" is the domain itself, and a name in `data` that ends with a dot is taken as it is. The law: what `table`
gives can be written on the wire; SettingError names the key and what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Protocol

from pxe.dns.ports import Record
from pxe.errors import SettingError

LONGEST_TTL = 7 * 86400
MOST_TEXT = 1000  # bytes; more does not fit into an answer over UDP anyway
_LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\Z")


class Written(Protocol):
    """One row of the file."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def ttl(self) -> int | None: ...


def table(rows: Sequence[Written], domain: str) -> Mapping[str, tuple[Record, ...]]:
    """Name (lower case, fully qualified) -> records. Raises SettingError."""
    found: dict[str, tuple[Record, ...]] = {}
    for place, row in enumerate(rows):
        key = f"dns.records[{place}]"
        name = _name(f"{key}.name", row.name, domain)
        if row.type not in _DATA:
            raise SettingError(f"{key}.type", f"{row.type!r} is none of {', '.join(_DATA)}")
        if row.ttl is not None and not 0 <= row.ttl <= LONGEST_TTL:
            raise SettingError(f"{key}.ttl", f"{row.ttl} is not in 0..{LONGEST_TTL} seconds")
        record = Record(row.type, _DATA[row.type](f"{key}.data", row.data, domain), row.ttl)
        others = found.get(name, ())
        if others and "CNAME" in (row.type, others[0].type):
            raise SettingError(f"{key}.name", f"{row.name!r} is an alias, and can be nothing else beside")
        if row.type == "CNAME" and name == domain:
            raise SettingError(f"{key}.name", "the domain itself cannot be an alias")
        found[name] = (*others, record)
    return found


def _name(key: str, text: str, domain: str) -> str:
    """A name relative to the domain, or absolute with a final dot."""
    lower = text.strip().lower()
    full = lower.removesuffix(".") if lower.endswith(".") else domain if lower == "@" else f"{lower}.{domain}"
    if not _LABELS.match(full) or len(full) > 253:
        raise SettingError(key, f"{text!r} is not a name")
    if key.endswith(".name") and full != domain and not full.endswith(f".{domain}"):
        raise SettingError(key, f"{text!r} is not in {domain}")
    return full


def _ipv4(key: str, text: str, domain: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise SettingError(key, f"{text!r} is not an IPv4 address") from error


def _ipv6(key: str, text: str, domain: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        raise SettingError(key, f"{text!r} is not an IPv6 address") from error
    if address.scope_id is not None:
        raise SettingError(key, f"{text!r}: a scope means nothing to others")
    return str(address)


def _service(key: str, text: str, domain: str) -> str:
    words = text.split()
    numbers = [int(word) for word in words[:3] if word.isascii() and word.isdigit()]
    if len(words) != 4 or len(numbers) != 3 or max(numbers) > 65535:
        raise SettingError(key, f'{text!r} is not "PRIORITY WEIGHT PORT NAME"')
    return " ".join((*map(str, numbers), _name(key, words[3], domain)))


def _text(key: str, text: str, domain: str) -> str:
    if not text or not text.isprintable() or len(text.encode()) > MOST_TEXT:
        raise SettingError(key, f"is not a text of up to {MOST_TEXT} bytes")
    return text


_DATA: Mapping[str, Callable[[str, str, str], str]] = {
    "A": _ipv4,
    "AAAA": _ipv6,
    "CNAME": _name,
    "SRV": _service,
    "TXT": _text,
}
