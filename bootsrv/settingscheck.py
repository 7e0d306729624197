"""What the configuration says twice in different ways: each value is good, and together they do less than was
meant. Checks of `bootsrv doctor` and of every start (see `preflight`).

Warnings, not refusals: somebody who switches a part off for an hour need not take everything about it out of
the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Interface

from bootsrv.config import Config
from bootsrv.finding import Finding, Level
from pxe.dhcp import interfaces
from pxe.dhcp.subnet import Mode


def dhcp_agrees(config: Config) -> Iterator[Finding]:
    """Mode, pools and the DHCP switch say the same."""
    for place, subnet in enumerate(config.subnets):
        key = f"subnets[{place}]"
        if subnet.mode is Mode.AUTHORITATIVE and not config.dhcp.enabled:
            yield Finding(
                Level.WARNING,
                f"{config.path}: {key} ({subnet.cidr}) is authoritative, and [dhcp] is switched off:"
                " nobody gets an address from us",
                f"set [dhcp] enabled = true, or take mode and pools out of {key}",
            )
        elif subnet.mode is Mode.PROXY and subnet.pools:
            yield Finding(
                Level.WARNING,
                f"{config.path}: {key} ({subnet.cidr}) has pools, and its mode is proxy: no address is given"
                " from them",
                'set mode = "authoritative" to give addresses, or take `pools` out',
            )


def pools_are_free(config: Config) -> Iterator[Finding]:
    """No pool has an address that is never given: our own, a router's."""
    ours = [(own.ip, f"this server's own address on {name}") for name, own in _own(config)]
    for place, subnet in enumerate(config.subnets):
        if subnet.mode is not Mode.AUTHORITATIVE or not config.dhcp.enabled:
            continue
        for address, whose in [*ours, *((router, "a router") for router in subnet.routers)]:
            for pool in subnet.pools:
                if address in pool:
                    yield Finding(
                        Level.WARNING,
                        f"{config.path}: subnets[{place}].pools: {pool} has {address} in it, {whose}, which"
                        " is never given to a machine",
                        "write the pool around it",
                    )


def _own(config: Config) -> Iterator[tuple[str, IPv4Interface]]:
    for name in config.interfaces:
        with suppress(OSError):  # `interfaces_usable` says that it is not there
            yield from ((name, address) for address in interfaces.addresses(name))


def services_are_on(config: Config) -> Iterator[Finding]:
    """What a machine needs on its way is not switched off."""
    if not config.interfaces:
        return
    if not config.http.enabled:
        yield Finding(
            Level.WARNING,
            f"{config.path}: [http] is switched off: no machine can be imaged, and there is no page",
            "set [http] enabled = true",
        )
    if not config.tftp.enabled:
        yield Finding(
            Level.WARNING,
            f"{config.path}: [tftp] is switched off: PXE firmware gets no loader, only HTTP Boot does",
            "set [tftp] enabled = true",
        )
