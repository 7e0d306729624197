"""Addresses of a profile that are none: no parser of an answer file looks, and installers stop at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, ip_address

from pxe.answers.errors import Finding
from pxe.answers.network import Interface, Method
from pxe.answers.profile import Profile

_VLANS = range(1, 4095)


def wrong_addresses(profile: Profile) -> Iterator[Finding]:
    """Each with its field; a gateway that cannot be reached is a note."""
    for number, one in enumerate(profile.network):
        where = f"network[{number}]"
        found = list(_of(one, where))
        yield from found
        if not found:
            yield from _gateway(one, where)


def _of(one: Interface, where: str) -> Iterator[Finding]:
    checks: tuple[tuple[str, str | None, Callable[[str], object], str], ...] = (
        ("address", one.address, IPv4Address, "is no IPv4 address"),
        ("netmask", one.netmask, lambda mask: IPv4Network(f"0.0.0.0/{mask}"), "is no netmask"),
        ("gateway", one.gateway, ip_address, "is no address"),
        ("ipv6_gateway", one.ipv6_gateway, IPv6Address, "is no IPv6 address"),
        *(("name_servers", server, ip_address, "is no address") for server in one.name_servers),
        ("ipv6", one.ipv6 if one.ipv6 not in ("auto", "dhcp") else None, IPv6Interface,
         "is neither auto nor dhcp nor an IPv6 address with its prefix"),
    )  # fmt: skip
    for field, value, check, what in checks:
        try:
            if value is not None:
                check(value)
        except ValueError:
            yield Finding(f"{value} {what}", f"{where}.{field}")
    if one.vlan is not None and one.vlan not in _VLANS:
        yield Finding(f"{one.vlan} is no VLAN; there are {_VLANS[0]} to {_VLANS[-1]}", f"{where}.vlan")


def _gateway(one: Interface, where: str) -> Iterator[Finding]:
    if one.method is not Method.STATIC or not (one.address and one.netmask and one.gateway):
        return
    own = IPv4Interface(f"{one.address}/{one.netmask}").network
    if ip_address(one.gateway) not in own:
        yield Finding(f"{one.gateway} is not in {own}", f"{where}.gateway", warning=True)
