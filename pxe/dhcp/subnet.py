"""What an administrator says about one network: its range, its pools, how we behave there.

`build_subnet` reads one `[[subnets]]` table of plain values (as TOML gives them) and `check_together` looks
at all of them at once; both raise SettingError naming the bad key. The law: a Subnet that they let pass is
valid, and nothing later checks it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any

from pxe.dhcp import options as dhcp_options
from pxe.dhcp.labels import from_pattern
from pxe.errors import SettingError

MIN_LEASE_SECONDS = 60
LONGEST_MENU = 254  # seconds; 255 would mean without end
FOR_EVER = 0xFFFFFFFF  # RFC 2131 section 3.3


class Mode(StrEnum):
    """How we behave on a network."""

    AUTHORITATIVE = "authoritative"  # we give the addresses and say no to wrong ones
    PROXY = "proxy"  # another server gives the addresses, we only add what to boot


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses for clients without a reservation, both ends included."""

    first: IPv4Address
    last: IPv4Address

    def __contains__(self, address: IPv4Address) -> bool:
        return self.first <= address <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Subnet:
    """One network. `options` by ISC name (appliance and subnet level merged); a Host's own win over them."""

    cidr: IPv4Network
    mode: Mode = Mode.PROXY
    pools: tuple[Pool, ...] = ()  # not used in proxy mode
    routers: tuple[IPv4Address, ...] = ()
    lease_seconds: int = 3600
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    interface: str | None = None  # None: every listed interface that has an address inside `cidr`
    shared: str = ""  # subnets of one such name are on the same wire (a "shared network")
    unknown: bool = True  # whether clients nobody registered get pool addresses
    client_names: bool = True  # whether a client without a registered name is called what it calls itself
    dynamic_names: str = ""  # what it is called otherwise, such as "dyn-{ip}"; "" = nothing
    pxe_menu: int | None = None  # seconds that firmware offers a choice (network, own disk); None: no menu
    bootp: bool = False  # whether BOOTP clients may take pool addresses; they keep them for ever (RFC 1534)

    def __contains__(self, address: IPv4Address) -> bool:
        return address in self.cidr


def build_subnet(table: Mapping[str, Any]) -> Subnet:
    """One `[[subnets]]` table to a Subnet; raises SettingError with the key inside this table."""
    known = {item.name for item in fields(Subnet)}
    for key in table:
        if key not in known:
            raise SettingError(key, f"unknown key; known are {', '.join(sorted(known))}")
    if "cidr" not in table:
        raise SettingError("cidr", 'missing; write the network such as "10.77.0.0/24"')
    cidr = _cidr(table["cidr"])
    options = _options(table.get("options", {}))
    return Subnet(
        cidr=cidr,
        mode=_mode(table.get("mode", Mode.PROXY)),
        pools=_pools(table.get("pools", ()), cidr),
        routers=_routers(table.get("routers", ()), cidr),
        lease_seconds=_seconds("lease_seconds", table.get("lease_seconds", 3600)),
        options=options,
        name=_text("name", table.get("name", "")),
        interface=_text("interface", table.get("interface") or "") or None,
        shared=_text("shared", table.get("shared", "")),
        unknown=_flag("unknown", table.get("unknown", True)),
        client_names=_flag("client_names", table.get("client_names", True)),
        dynamic_names=_pattern(table.get("dynamic_names", ""), cidr),
        pxe_menu=_menu(table.get("pxe_menu")),
        bootp=_flag("bootp", table.get("bootp", False)),
    )


def check_together(subnets: Sequence[Subnet]) -> None:
    """Refuse subnets that overlap; the key of the SettingError is `subnets[i].cidr`."""
    order = sorted(range(len(subnets)), key=lambda n: int(subnets[n].cidr.network_address))
    for before, after in pairwise(order):
        if subnets[before].cidr.overlaps(subnets[after].cidr):
            first, second = sorted((before, after))
            reason = f"{subnets[second].cidr} overlaps {subnets[first].cidr} of subnets[{first}]"
            raise SettingError(f"subnets[{second}].cidr", reason)


def _cidr(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str) or "/" not in value:
        raise SettingError("cidr", f'{value!r} is not a network such as "10.77.0.0/24"')
    try:
        return IPv4Network(value)
    except ValueError as error:
        try:
            meant = IPv4Network(value, strict=False)
        except ValueError:
            raise SettingError("cidr", f"{value!r} is not an IPv4 network") from error
        raise SettingError("cidr", f"{value!r} has host bits set; did you mean {meant}?") from error


def _mode(value: object) -> Mode:
    try:
        return Mode(str(value))
    except ValueError as error:
        raise SettingError("mode", f"{value!r} is neither authoritative nor proxy") from error


def _address(key: str, value: object) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    try:
        return IPv4Address(value if isinstance(value, str) else repr(value))
    except AddressValueError as error:
        raise SettingError(key, f"{value!r} is not an IPv4 address") from error


def _list(key: str, value: object) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise SettingError(key, f"{value!r} is not a list")
    return list(value)


def _usable(address: IPv4Address, cidr: IPv4Network) -> bool:
    """RFC 1122 section 3.2.1.3: all zeros and all ones are no hosts; RFC 3021: on a /31 both are."""
    if address not in cidr:
        return False
    return cidr.prefixlen >= 31 or address not in (cidr.network_address, cidr.broadcast_address)


def _pools(value: object, cidr: IPv4Network) -> tuple[Pool, ...]:
    pools: list[Pool] = []
    for n, item in enumerate(_list("pools", value)):
        key = f"pools[{n}]"
        pool = item if isinstance(item, Pool) else _pool(key, item)
        if pool.first > pool.last:
            raise SettingError(key, f"{pool} runs backwards")
        for end in (pool.first, pool.last):
            if not _usable(end, cidr):
                raise SettingError(key, f"{end} is not a host address of {cidr}")
        for m, other in enumerate(pools):
            if pool.first <= other.last and other.first <= pool.last:
                raise SettingError(key, f"{pool} overlaps {other} of pools[{m}]")
        pools.append(pool)
    return tuple(pools)


def _pool(key: str, value: object) -> Pool:
    if not isinstance(value, str):
        raise SettingError(key, f'{value!r} is not a range such as "10.77.0.100-10.77.0.199"')
    first, dash, last = value.partition("-")
    start = _address(key, first.strip())
    return Pool(start, _address(key, last.strip()) if dash else start)


def _routers(value: object, cidr: IPv4Network) -> tuple[IPv4Address, ...]:
    routers = tuple(_address(f"routers[{n}]", item) for n, item in enumerate(_list("routers", value)))
    for n, router in enumerate(routers):
        if router not in cidr:
            raise SettingError(f"routers[{n}]", f"{router} is not in {cidr}")
    return routers


def _seconds(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError(key, f"{value!r} is not a whole number of seconds")
    if not MIN_LEASE_SECONDS <= value <= FOR_EVER:
        raise SettingError(key, f"{value} is not in {MIN_LEASE_SECONDS}..{FOR_EVER}")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingError(key, f"{value!r} is not a text")
    return value


def _menu(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LONGEST_MENU:
        raise SettingError("pxe_menu", f"{value!r} is not a number of seconds from 0 to {LONGEST_MENU}")
    return value


def _pattern(value: object, cidr: IPv4Network) -> str:
    pattern = _text("dynamic_names", value)
    if pattern:
        try:
            from_pattern(pattern, "00:00:00:00:00:00", cidr.broadcast_address)
        except ValueError as error:
            raise SettingError("dynamic_names", str(error)) from error
    return pattern


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingError(key, f"{value!r} is neither true nor false")
    return value


def _options(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError("options", f"{value!r} is not a table")
    for name, setting in value.items():
        try:
            dhcp_options.encode(str(name), setting)
        except dhcp_options.OptionError as error:
            raise SettingError(f"options.{error.key}", error.reason) from error
    return dict(value)
