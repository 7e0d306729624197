"""Words of a configuration file -> typed values: addresses, MACs, names, DHCP options by the engine's table.

The law: a value that comes out can be set in bootsrv as it is, because it went through the engine's
encoder and back; everything else raises BadWord with one reason. Digits are ASCII only and bounded, so no
text makes `int` choke.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from bootsrv import names
from bootsrv.errors import Invalid
from pxe.dhcp import options as dhcp_options
from pxe.errors import SettingError

_NUMBER = re.compile(r"-?[0-9]{1,10}\Z")
_NAME_PART = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_PAIRS = re.compile(r"[0-9A-Fa-f]{1,2}([:-][0-9A-Fa-f]{1,2})*\Z")
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")

HEX_CODES = frozenset({43, 125, 208})  # options whose value the engine takes as hex
ROUTE_CODES = frozenset({121, 249})


class BadWord(ValueError):
    """A value that cannot be used; the text says what it is and what was wanted."""


def number(word: str) -> int:
    """A decimal number of at most ten digits."""
    if not _NUMBER.match(word):
        raise BadWord(f"{_short(word)} is not a number")
    return int(word)


def address(word: str) -> IPv4Address:
    """One IPv4 address in dotted form."""
    try:
        return IPv4Address(word)
    except AddressValueError as error:
        raise BadWord(f"{_short(word)} is not an IPv4 address") from error


def network(first: str, mask: str) -> IPv4Network:
    """A network from its address (host bits forgiven) and its mask, dotted or as a prefix length."""
    try:
        return IPv4Network(f"{address(first)}/{mask}", strict=False)
    except ValueError as error:
        if isinstance(error, BadWord):
            raise
        raise BadWord(f"{_short(mask)} is not a netmask") from error


def mac(word: str) -> str:
    """An Ethernet address in any usual writing, also ISC's short one (`0:1:2:a:b:c`), as ours."""
    parts = [part.zfill(2) for part in re.split(r"[:-]", word)] if len(word) <= 17 else [word]
    try:
        return names.mac(":".join(parts) if len(parts) == 6 else word)
    except Invalid as error:
        raise BadWord(str(error)) from error


def node_name(word: str) -> str:
    """A node's name from a host's: its first label, `_` as `-`. Raises BadWord when it cannot be one."""
    try:
        return names.label(word.strip().replace("_", "-").partition(".")[0])
    except Invalid as error:
        raise BadWord(str(error)) from error


def group_name(word: str) -> str:
    """A group's name. Raises BadWord."""
    try:
        return names.group(word.strip().replace(" ", "-"))
    except Invalid as error:
        raise BadWord(str(error)) from error


def is_host_name(word: str) -> bool:
    """Whether a word where an address is wanted is a name to be looked up."""
    return len(word) < 256 and _HOST.match(word) is not None


def is_domain(word: str) -> bool:
    """Whether a text can be the configuration's `domain`."""
    return len(word) < 254 and all(_NAME_PART.match(part) for part in word.lower().split("."))


def hex_of(word: str) -> str:
    """Hex bytes as `01:0a:ff` from `1:a:ff` or `01-0a-ff`."""
    if not _PAIRS.match(word):
        raise BadWord(f"{_short(word)} is not hex such as 01:0a:ff")
    return ":".join(part.lower().zfill(2) for part in re.split(r"[:-]", word))


def option(name: str, value: Any) -> tuple[str, Any]:
    """An option by ISC name (or option-N) as (our name, canonical value). Raises BadWord."""
    try:
        code, data = dhcp_options.encode(name, value)
    except SettingError as error:
        raise BadWord(error.reason) from error
    return option_from_bytes(code, data)


def option_from_bytes(code: int, data: bytes) -> tuple[str, Any]:
    """An option as it is on the wire. Raises BadWord for codes that the engine sets itself."""
    known = dhcp_options.BY_CODE.get(code)
    if known is None:
        try:
            dhcp_options.encode(f"option-{code}", data)
        except SettingError as error:
            raise BadWord(error.reason) from error
        return f"option-{code}", data.hex(":")
    name, value = dhcp_options.decode(code, data)
    try:
        dhcp_options.encode(name, value)  # decode falls back to hex where the bytes do not fit the type
    except SettingError as error:
        raise BadWord(error.reason) from error
    return name, value


def name_of(code: int) -> str:
    """The name by which option `code` is set."""
    known = dhcp_options.BY_CODE.get(code)
    return known.name if known is not None else f"option-{code}"


def code_of(name: str) -> int | None:
    """The number of an option, None when the engine does not know the name (or does not let it be set)."""
    try:
        return dhcp_options.lookup(name).code
    except SettingError:
        return None


def _short(word: str) -> str:
    return repr(word if len(word) <= 60 else word[:57] + "...")


def identity(text: str, quoted: bool) -> str:
    """What a machine calls itself, as 0x and hexadecimal: text, or bytes with colons where it is not quoted.
    Raises BadWord."""
    data = text.encode()
    if not quoted and re.fullmatch(r"[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2})*", text):
        data = bytes(int(byte, 16) for byte in text.split(":"))
    if not 0 < len(data) < 256:
        raise BadWord(f"{len(data)} bytes; 1 to 255 are possible")
    return f"0x{data.hex()}"
