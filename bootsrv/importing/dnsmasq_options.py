"""Names and values of dnsmasq's `dhcp-option`. dnsmasq(8), and the list that `dnsmasq --help dhcp` prints.

The law: a value comes out as the engine takes it, or BadWord says why not. dnsmasq has no types for numbers
it does not know: there, the value's own look decides (addresses, hex, decimal, text), and so it does here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bootsrv.importing import values
from bootsrv.importing.values import BadWord

# Where dnsmasq's name differs from ISC's, which is looked up as it is.
CODES = {
    "netmask": 1, "router": 3, "dns-server": 6, "log-server": 7, "lpr-server": 9, "hostname": 12,
    "boot-file-size": 13, "extension-path": 18, "ip-forward-enable": 19, "max-datagram-reassembly": 22,
    "default-ttl": 23, "mtu": 26, "broadcast": 28, "router-solicitation": 32, "static-route": 33,
    "arp-timeout": 35, "ethernet-encap": 36, "tcp-ttl": 37, "tcp-keepalive": 38, "nis-server": 41,
    "ntp-server": 42, "vendor-encap": 43, "netbios-ns": 44, "netbios-dd": 45, "netbios-nodetype": 46,
    "x-windows-fs": 48, "x-windows-dm": 49, "requested-address": 50, "lease-time": 51, "T1": 58, "T2": 59,
    "vendor-class": 60, "nis+-domain": 64, "nis+-server": 65, "tftp-server": 66, "mobile-ip-home": 68,
    "pop3-server": 70, "user-class": 77, "rapid-commit": 80, "FQDN": 81, "agent-id": 82, "client-arch": 93,
    "client-interface-id": 94, "client-machine-id": 97, "posix-timezone": 100, "tzdb-timezone": 101,
    "subnet-select": 118, "sip-server": 120, "classless-static-route": 121, "vendor-id-encap": 125,
}  # fmt: skip
SERVER_ADDRESS = "server-ip-address"  # no option: the siaddr field

_HEX = re.compile(r"[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2})+\Z")
_SUFFIX = re.compile(r"([0-9]{1,10})([bsi])\Z")
_SIZES = {"b": 1, "s": 2, "i": 4}


def code_of(word: str) -> int:
    """The option that `option:NAME` or `NUMBER` means. Raises BadWord."""
    prefix, _, name = word.partition(":")
    if prefix == "option6" or word.startswith("option6"):
        raise BadWord("IPv6 is not taken over")
    if prefix != "option":
        code = values.number(word)
        if not 0 < code < 255:
            raise BadWord(f"{code} is not an option's number")
        return code
    if name == SERVER_ADDRESS:
        return values.code_of("tftp-server-address") or 0
    found = CODES.get(name) or values.code_of(name)
    if found is None:
        raise BadWord(f"dnsmasq has no option called {name[:40]!r}")
    return found


def value(code: int, words: Sequence[str]) -> tuple[str, Any]:
    """(our name, canonical value). Raises BadWord."""
    name = values.name_of(code)
    if not any(words):
        raise BadWord("dnsmasq is told to leave this option out; here it is only sent when set")
    if any(word == "0.0.0.0" for word in words):  # dnsmasq's word for itself
        raise BadWord("0.0.0.0 means dnsmasq's own address; write that of the new server")
    if name == f"option-{code}":
        return values.option_from_bytes(code, b"".join(_untyped(word, words) for word in words))
    if code in values.HEX_CODES:
        return values.option_from_bytes(code, _hex(",".join(words)))
    if code in values.ROUTE_CODES:
        pairs = [" ".join(words[at : at + 2]) for at in range(0, len(words), 2)]
        return values.option(name, pairs)
    if all(_HEX.match(word) for word in words):
        return values.option_from_bytes(code, b"".join(_hex(word) for word in words))
    return values.option(name, words[0] if len(words) == 1 else list(words))


def _untyped(word: str, words: Sequence[str]) -> bytes:
    """What dnsmasq makes of a word of an option without a known type."""
    if _HEX.match(word):
        return _hex(word)
    sized = _SUFFIX.match(word)
    if sized:
        return _number(int(sized[1]), _SIZES[sized[2]])
    if word.isascii() and word.isdigit():
        wanted = values.number(word)
        return _number(wanted, 1 if wanted < 256 else 2 if wanted < 65536 else 4)
    try:
        return values.address(word).packed
    except BadWord:
        if len(words) > 1:
            raise BadWord("a list of texts for an option that has no type") from None
        return word.strip('"').encode("utf-8", "replace")


def _number(wanted: int, size: int) -> bytes:
    if wanted >= 1 << (8 * size):
        raise BadWord(f"{wanted} does not fit in {size} bytes")
    return wanted.to_bytes(size, "big")


def _hex(word: str) -> bytes:
    return bytes.fromhex(values.hex_of(word).replace(":", ""))
