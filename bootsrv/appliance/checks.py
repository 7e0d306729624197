"""What must hold before a node is written: its address fits the networks, nothing of it belongs to another.

Called inside the transaction that writes, so that two people cannot both be right. Raises Invalid or
Conflict.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid
from bootsrv.model import AddressMethod, Node
from bootsrv.registry.registry import Registry
from pxe.dhcp.interfaces import addresses
from pxe.dhcp.options import encode
from pxe.errors import SettingError


def address_fits(config: Config, address: IPv4Address) -> None:
    """The address can be a host's on one of our networks."""
    subnet = config.subnet_of(address)
    if subnet is None:
        known = ", ".join(str(subnet.cidr) for subnet in config.subnets) or "none is configured"
        raise Invalid(f"address {address} is in no subnet of this server ({known})")
    if subnet.cidr.prefixlen < 31 and address in (subnet.cidr.network_address, subnet.cidr.broadcast_address):
        raise Invalid(f"address {address} is the network or broadcast address of {subnet.cidr}")
    if address in subnet.routers:
        raise Invalid(f"address {address} is a router of {subnet.cidr}")
    for name in config.interfaces:
        if address in _addresses(name):
            raise Invalid(f"address {address} is this server's own, on {name}")


def _addresses(name: str) -> list[IPv4Address]:
    try:
        return [own.ip for own in addresses(name)]
    except OSError:  # not there at the moment: preflight says it, and registering need not wait for it
        return []


def method_fits(method: AddressMethod, address: IPv4Address | None) -> None:
    """Method and address do not contradict each other."""
    if method in (AddressMethod.RESERVED, AddressMethod.STATIC) and address is None:
        raise Invalid(f"address method {method} needs an address")
    if method is AddressMethod.DYNAMIC and address is not None:
        raise Invalid("address method dynamic takes no address: the pool gives one")


def nothing_taken(registry: Registry, node: Node, now: float) -> None:
    """Name, MACs and address are not another node's, nor is the address leased to another machine."""
    other = registry.nodes.by_name(node.name) if node.name else None
    if other is not None and other.id != node.id:
        raise Conflict(f"name {node.name} is taken (by {', '.join(other.macs) or 'a node without a MAC'})")
    for mac in node.macs:
        other = registry.nodes.by_mac(mac)
        if other is not None and other.id != node.id:
            raise Conflict(f"MAC {mac} belongs to {other.name or 'an unknown machine'}")
    if node.address is not None:
        _address_free(registry, node, node.address, now)


def _address_free(registry: Registry, node: Node, address: IPv4Address, now: float) -> None:
    other = registry.nodes.by_address(address)
    if other is not None and other.id != node.id:
        raise Conflict(f"address {address} belongs to {other.name or other.macs[0]}")
    holder = registry.leases.holder(address, now)
    if holder is not None and holder not in node.macs:
        raise Conflict(f"address {address} is leased to {holder} at the moment")


def options_fit(options: dict[str, object]) -> None:
    """Every DHCP option has a known name and a value of its type."""
    for name, value in options.items():
        try:
            encode(name, value)
        except SettingError as error:
            raise Invalid(f"option {name}: {error.reason}") from error


def layout_name(config: Config, name: str) -> str:
    """One of the layouts that the configuration declares. Raises Invalid."""
    if name not in config.layouts:
        known = ", ".join(sorted(config.layouts))
        there = f"there are: {known}" if known else f"declare it as [layouts.{name}] in the configuration"
        raise Invalid(f"there is no disk layout {name!r}; {there}")
    return name


def profile_name(registry: Registry, name: str) -> str:
    """One of the stored profiles. Raises Invalid."""
    known = [one.name for one in registry.profiles.newest() if one.kind == "profile"]
    if name not in known:
        there = f"there are: {', '.join(known)}" if known else "`bootsrv answers save` makes one"
        raise Invalid(f"there is no profile {name!r}; {there}")
    return name
