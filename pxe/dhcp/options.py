"""DHCP options by their ISC name: value of an administrator -> (code, bytes), and bytes -> text for people.

RFC 2132 (and 3397, 3442, 5071, 5859, 8910) give type and range of each. The law: `encode` gives bytes that
a client accepts, or raises OptionError naming the option and what it should look like; `decode` never
raises. Options that the engine answers itself (message type, lease and server identity, relay data) cannot
be set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from pxe.dhcp import codec
from pxe.errors import SettingError


class OptionError(SettingError):
    """An option's name or value cannot be used; `key` is the option as it was written."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table. `code` is the number on the wire, `shape` says how a value is written."""

    name: str
    code: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    shape: str


# The engine's own: set from subnet, lease and request, or meaningless in a reply.
OWNED = frozenset({0, 50, 52, 53, 54, 55, 57, 61, 82, 255})


def _row(name: str, code: int, kind: codec.Kind) -> Option:
    return Option(name, code, kind.encode, kind.decode, kind.shape)


_ADDRESS, _ADDRESSES, _PAIRS = codec.address(), codec.addresses(), codec.address_pairs()
_ROUTES, _FLAG, _TEXT, _HEX = codec.address_pairs(zero_first=False), codec.flag(), codec.text(), codec.raw()
_U8, _U16, _U32, _I32 = codec.number(1), codec.number(2), codec.number(4), codec.number(4, signed=True)

_TABLE: tuple[Option, ...] = tuple(
    _row(*row)
    for row in (
        ("subnet-mask", 1, codec.netmask()),
        ("time-offset", 2, _I32),
        ("routers", 3, _ADDRESSES),
        ("time-servers", 4, _ADDRESSES),
        ("ien116-name-servers", 5, _ADDRESSES),
        ("domain-name-servers", 6, _ADDRESSES),
        ("log-servers", 7, _ADDRESSES),
        ("cookie-servers", 8, _ADDRESSES),
        ("lpr-servers", 9, _ADDRESSES),
        ("impress-servers", 10, _ADDRESSES),
        ("resource-location-servers", 11, _ADDRESSES),
        ("host-name", 12, codec.hostname()),
        ("boot-size", 13, _U16),
        ("merit-dump", 14, _TEXT),
        ("domain-name", 15, _TEXT),
        ("swap-server", 16, _ADDRESS),
        ("root-path", 17, _TEXT),
        ("extensions-path", 18, _TEXT),
        ("ip-forwarding", 19, _FLAG),
        ("non-local-source-routing", 20, _FLAG),
        ("policy-filter", 21, _PAIRS),
        ("max-dgram-reassembly", 22, codec.number(2, low=576)),
        ("default-ip-ttl", 23, codec.number(1, low=1)),
        ("path-mtu-aging-timeout", 24, _U32),
        ("path-mtu-plateau-table", 25, codec.numbers(2, low=68)),
        ("interface-mtu", 26, codec.number(2, low=68)),
        ("all-subnets-local", 27, _FLAG),
        ("broadcast-address", 28, _ADDRESS),
        ("perform-mask-discovery", 29, _FLAG),
        ("mask-supplier", 30, _FLAG),
        ("router-discovery", 31, _FLAG),
        ("router-solicitation-address", 32, _ADDRESS),
        ("static-routes", 33, _ROUTES),
        ("trailer-encapsulation", 34, _FLAG),
        ("arp-cache-timeout", 35, _U32),
        ("ieee802-3-encapsulation", 36, _FLAG),
        ("default-tcp-ttl", 37, codec.number(1, low=1)),
        ("tcp-keepalive-interval", 38, _U32),
        ("tcp-keepalive-garbage", 39, _FLAG),
        ("nis-domain", 40, _TEXT),
        ("nis-servers", 41, _ADDRESSES),
        ("ntp-servers", 42, _ADDRESSES),
        ("vendor-encapsulated-options", 43, _HEX),
        ("netbios-name-servers", 44, _ADDRESSES),
        ("netbios-dd-server", 45, _ADDRESSES),
        ("netbios-node-type", 46, codec.number(1, low=1, high=8)),
        ("netbios-scope", 47, _TEXT),
        ("font-servers", 48, _ADDRESSES),
        ("x-display-manager", 49, _ADDRESSES),
        ("dhcp-lease-time", 51, codec.number(4, low=60)),
        ("dhcp-renewal-time", 58, codec.number(4, low=1)),
        ("dhcp-rebinding-time", 59, codec.number(4, low=1)),
        ("vendor-class-identifier", 60, _TEXT),
        ("nwip-domain", 62, _TEXT),
        ("nisplus-domain", 64, _TEXT),
        ("nisplus-servers", 65, _ADDRESSES),
        ("tftp-server-name", 66, _TEXT),
        ("bootfile-name", 67, _TEXT),
        ("mobile-ip-home-agent", 68, codec.addresses(empty=True)),
        ("smtp-server", 69, _ADDRESSES),
        ("pop-server", 70, _ADDRESSES),
        ("nntp-server", 71, _ADDRESSES),
        ("www-server", 72, _ADDRESSES),
        ("finger-server", 73, _ADDRESSES),
        ("irc-server", 74, _ADDRESSES),
        ("streettalk-server", 75, _ADDRESSES),
        ("streettalk-directory-assistance-server", 76, _ADDRESSES),
        ("uap-servers", 98, _TEXT),
        ("pcode", 100, _TEXT),
        ("tcode", 101, _TEXT),
        ("v6-only-preferred", 108, codec.number(4)),
        ("captive-portal", 114, codec.uri()),
        ("domain-search", 119, codec.domains()),
        ("classless-static-routes", 121, codec.routes()),
        ("vivso", 125, _HEX),
        ("tftp-server-address", 150, _ADDRESSES),
        ("pxelinux-magic", 208, _HEX),
        ("pxelinux-configfile", 209, _TEXT),
        ("pxelinux-pathprefix", 210, _TEXT),
        ("pxelinux-reboottime", 211, _U32),
        ("ms-classless-static-routes", 249, codec.routes()),
        ("wpad-url", 252, _TEXT),
    )
)

BY_NAME = {option.name: option for option in _TABLE}
BY_CODE = {option.code: option for option in _TABLE}

# Other names in use: ISC's own spellings, and what people write by habit.
ALIASES = {
    "rfc3442-classless-static-routes": "classless-static-routes",
    "v4-captive-portal": "captive-portal",
    "default-url": "captive-portal",
    "captive-portal-url": "captive-portal",
    "domain-name-server": "domain-name-servers",
    "router": "routers",
    "filename": "bootfile-name",
    "www-servers": "www-server",
    "smtp-servers": "smtp-server",
}


def lookup(name: str) -> Option:
    """The row for an ISC name, an alias, or `option-N` (value in hex). Raises OptionError."""
    known = BY_NAME.get(ALIASES.get(name, name))
    if known is not None:
        return known
    prefix, _, number = name.partition("-")
    if prefix == "option" and number.isascii() and number.isdigit() and len(number) <= 3:
        code = int(number)
        if code in OWNED or code > 254:
            raise OptionError(name, "this option is set by the DHCP server itself")
        return _row(name, code, _HEX)
    raise OptionError(name, "no such DHCP option (use its ISC name, or option-N with a value in hex)")


def encode(name: str, value: Any) -> tuple[int, bytes]:
    """Code and bytes of one option. Raises OptionError."""
    option = lookup(name)
    try:
        return option.code, option.encode(value)
    except codec.BadValue as error:
        raise OptionError(name, f"{error} (wanted: {option.shape})") from error


def decode(code: int, data: bytes) -> tuple[str, Any]:
    """Name and value for display; hex where the code is unknown or the bytes do not fit its type. Never
    raises."""
    option = BY_CODE.get(code)
    if option is None:
        return f"option-{code}", data.hex(":")
    try:
        return option.name, option.decode(data)
    except codec.BadValue:
        return option.name, data.hex(":")


def address_of(data: bytes | None) -> IPv4Address | None:
    """The address in an option that holds exactly one, or None when it does not."""
    return IPv4Address(data) if data is not None and len(data) == 4 else None
