"""What the forms offer: images to pick, the next free address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from bootsrv.appliance.appliance import Appliance
from images.versions import LATEST, Version
from pxe.dhcp.subnet import Subnet
from webui.show import size

Choices = list[tuple[str, str]]

FIRST_HOST = 10  # the first ten addresses of a network usually belong to routers and servers


def image_choices(versions: Iterable[Version], nothing: str, current: str | None = None) -> Choices:
    """(reference, text): each image by its name (always the newest), then its single versions."""
    by_name: dict[str, list[Version]] = {}
    for version in versions:
        by_name.setdefault(version.name, []).append(version)
    offered: Choices = [("", nothing)]
    for name, found in sorted(by_name.items()):
        newest = max(found, key=lambda version: version.number)
        offered.append((name, f"{name} (newest: version {newest.number}, {size(newest.bytes)})"))
    for name, found in sorted(by_name.items()):
        newer = sorted(found, key=lambda version: version.number, reverse=True)
        offered += [
            (version.ref, f"{name} version {version.number}, {size(version.bytes)}") for version in newer
        ]
        tags = sorted({tag for version in found for tag in version.tags} - {LATEST})
        offered += [(f"{name}@{tag}", f"{name}, whatever is tagged {tag}") for tag in tags]
    if current and current not in dict(offered):
        offered.append((current, f"{current} (not in the store any more)"))
    return offered


def next_address(subnets: Sequence[Subnet], taken: Iterable[IPv4Address]) -> IPv4Address | None:
    """The address after the highest one given out, outside the pools; None when there is no room."""
    used = set(taken)
    for subnet in subnets:
        first, last = int(subnet.cidr.network_address), int(subnet.cidr.broadcast_address)
        here = [int(address) for address in used if address in subnet.cidr]
        start = max(here) + 1 if here else min(first + FIRST_HOST + 1, last - 1)
        for number in (*range(start, min(last, start + 4096)), *range(first + 1, min(start, first + 4096))):
            address = IPv4Address(number)
            if address not in used and address not in subnet.routers and not _pooled(subnet, address):
                return address
    return None


def _pooled(subnet: Subnet, address: IPv4Address) -> bool:
    return any(pool.first <= address <= pool.last for pool in subnet.pools)


def suggested(house: Appliance) -> str:
    """The next free address as text, "" when none can be told."""
    for subnet in house.config.subnets:
        found = next_address([subnet], house.roster.taken(subnet.cidr))
        if found is not None:
            return str(found)
    return ""


def address_hint(house: Appliance) -> str:
    """One line on which addresses are possible."""
    networks = ", ".join(str(subnet.cidr) for subnet in house.config.subnets)
    return f"In {networks}." if networks else "No subnet is configured yet, so no address can be given."
