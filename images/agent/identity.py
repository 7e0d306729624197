"""Who the node shall be, as the deploy task says it; checked once here, so that nothing later is surprised.

Python 3.8, standard library only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from images.errors import BadInput

METHODS = ("reserved", "dynamic", "static", "untouched")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z", re.IGNORECASE)
_DOMAIN = re.compile(r"[A-Za-z0-9._-]{0,253}\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


@dataclass(frozen=True)
class Identity:
    """One node's own data. `address` has its prefix ("10.77.0.11/24") or is None; `mac` "": any card."""

    name: str
    domain: str
    method: str
    mac: str
    address: str | None = None
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    hosts: tuple[tuple[str, ...], ...] = ()
    keys: tuple[str, ...] = ()
    root_password_hash: str | None = None
    kernel_args: str = ""

    @property
    def fqdn(self) -> str:
        """The full name, or the short one where there is no domain."""
        return f"{self.name}.{self.domain}" if self.domain else self.name


def parse_identity(data: Mapping[str, Any]) -> Identity:
    """The task's `node` object. BadInput names the field that cannot be used."""
    name, mac = str(data.get("name") or ""), str(data.get("mac") or "").lower()
    domain, method = str(data.get("domain") or ""), str(data.get("address_method") or "dynamic")
    if not _NAME.match(name) or not _DOMAIN.match(domain):
        raise BadInput(f"node name {name!r} or domain {domain!r} is not a host name")
    if not _MAC.match(mac):
        raise BadInput(f"node MAC {mac!r} is not an Ethernet address")
    if method not in METHODS:
        raise BadInput(f"address method {method!r} is none of {', '.join(METHODS)}")
    address = _interface(data.get("address"))
    if method == "static" and address is None:
        raise BadInput("address method static needs an address")
    hash_ = data.get("root_password_hash")
    if hash_ is not None and re.search(r"[:\s]", str(hash_)):
        raise BadInput("the root password hash holds a colon or a blank")
    return Identity(
        name=name,
        domain=domain,
        method=method,
        mac=mac,
        address=address,
        gateway=_ip(data.get("gateway")),
        dns=tuple(filter(None, (_ip(x) for x in data.get("dns") or ()))),
        search=tuple(_word(x) for x in data.get("search") or ()),
        hosts=tuple(tuple(_word(x) for x in row) for row in data.get("hosts") or ()),
        keys=tuple(_line(x) for x in data.get("ssh_authorized_keys") or ()),
        root_password_hash=None if hash_ is None else str(hash_),
        kernel_args=_line(data.get("kernel_args") or ""),
    )


def _interface(value: Any) -> str | None:
    if not value:
        return None
    try:
        return str(ipaddress.ip_interface(str(value)))
    except ValueError as error:
        raise BadInput(f"address {value!r}: {error}") from error


def _ip(value: Any) -> str | None:
    if not value:
        return None
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError as error:
        raise BadInput(f"address {value!r}: {error}") from error


def _word(value: Any) -> str:
    text = str(value)
    if not text or not text.isprintable() or any(c.isspace() or c == "#" for c in text):
        raise BadInput(f"{text!r} cannot stand in a hosts or resolver file")
    return text


def _line(value: Any) -> str:
    text = str(value).strip()
    if not text.isprintable():
        raise BadInput(f"{text[:60]!r} has a line break or control character")
    return text
