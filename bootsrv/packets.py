"""`python -m bootsrv.packets --config FILE`: DHCP, TFTP and DNS in one event loop.

A process of its own, so that no page and no transfer over HTTP can delay a DHCP answer. With no interface
listed it opens no socket at all.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address

from bootsrv import child, payload
from bootsrv.config import Config
from bootsrv.consolelogs import ConsoleLogs
from bootsrv.dhcpview import HouseBoots, HouseHosts
from bootsrv.dnsview import HouseNames, zones
from bootsrv.handover import Handover
from bootsrv.installs.logkeeper import InstallLog
from bootsrv.knownnodes import KnownNodes
from bootsrv.leasebook.keeper import NAME, Keeper
from bootsrv.listening import our_interfaces
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry
from bootsrv.trees.shelf import Shelf
from bootsrv.trees.source import TreeSource
from pxe.dhcp.server import CHECK_SECONDS, DhcpConfig, DhcpServer
from pxe.dhcp.subnet import Subnet
from pxe.dns.server import DnsServer
from pxe.hub import HotSelector, Watch
from pxe.sockets import Listen, speaks_ipv6
from pxe.syslog.server import SyslogServer
from pxe.tftp.server import TftpServer

log = logging.getLogger(__name__)


async def serve(config: Config, stop: asyncio.Event, watch: Watch | None = None) -> int:
    """Open the sockets, answer until stopped."""
    registry = Registry.open(config.registry_file)
    recorder = Recorder(registry, Peers(registry))
    recorder.start()
    handover = Handover(config, registry, Peers(registry), lambda: our_interfaces(config))
    trees = TreeSource(Shelf(config.trees_dir))
    logs = ConsoleLogs(registry, Peers(registry), recorder.log)
    tftp = TftpServer(payload.catalogue(config, [handover, trees]), recorder, logs, watch=watch)
    known = KnownNodes(registry)
    leases = Keeper(config.data_dir / NAME, registry)
    dhcp = DhcpServer(
        dhcp_config(config),
        HouseHosts(known),
        HouseBoots(config, known, recorder),
        leases,
        recorder,
    )
    dns = DnsServer(
        zones(config),
        HouseNames(config, registry, lambda: _own(config)),
        [(at, 53) for at in config.dns.forward],
    )
    kept = InstallLog(registry, Peers(registry))
    kept.start()
    syslog = SyslogServer(kept)
    try:
        if config.tftp.enabled and config.interfaces:
            at = ("0.0.0.0", "::") if speaks_ipv6() else ("0.0.0.0",)
            await tftp.start([Listen(a, config.tftp.port, name) for name in config.interfaces for a in at])
        if config.dns.enabled and config.domain and config.interfaces:
            await dns.start([Listen("0.0.0.0", config.dns.port, name) for name in config.interfaces])
        if config.syslog.enabled and config.interfaces:
            await syslog.start([Listen("0.0.0.0", config.syslog.port, name) for name in config.interfaces])
        if config.dhcp.enabled and config.interfaces:
            await dhcp.start()
        _packets_first()
        child.ready()
        await stop.wait()
    finally:
        await dhcp.close()
        await tftp.close()
        await dns.close()
        await syslog.close()
        kept.close()
        leases.close()
        recorder.close()
    return 0


def _packets_first() -> None:
    """What was loaded stays: looking through 100,000 leases for cycles would hold packets up for 0.1 s. And a
    thread that writes to the registry gives way in half a millisecond; Python's own choice is five."""
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def dhcp_config(config: Config) -> DhcpConfig:
    """The DHCP engine's part of the configuration."""
    return DhcpConfig(
        interfaces=config.interfaces,
        subnets=tuple(_with_our_dns(config, subnet) for subnet in config.subnets),
        domain=config.domain,
        port=config.dhcp.port,
        proxy_port=config.dhcp.proxy_port,
        force=config.dhcp.force,
        check_seconds=CHECK_SECONDS if config.dhcp.check_addresses else 0.0,
    )


def _with_our_dns(config: Config, subnet: Subnet) -> Subnet:
    """Machines ask us for names where nobody said whom else to ask."""
    ours = [str(address) for address in _own(config) if address in subnet.cidr]
    if not (config.dns.enabled and config.domain and ours) or "domain-name-servers" in subnet.options:
        return subnet
    return replace(subnet, options={**subnet.options, "domain-name-servers": ours})


def _own(config: Config) -> list[IPv4Address]:
    """Our addresses on the listed interfaces, now."""
    return [own.ip for own in our_interfaces(config)]


def main() -> int:
    """Serves until SIGTERM."""
    selector = HotSelector()
    return child.run("packets", partial(serve, watch=selector), selector)


if __name__ == "__main__":
    sys.exit(main())
