"""Looks for what will go wrong before it does: `bootsrv doctor`, and every start.

A list of small checks; each finding says what is wrong and what to do about it. They only look, and change
nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Interface, ip_address
from pathlib import Path

from bootsrv import firewall, packagecheck, payload, settingscheck
from bootsrv.config import Config
from bootsrv.finding import Finding, Level
from bootsrv.listening import listen_on, listen_securely, nbd_listens_on
from bootsrv.portuse import Port, holder, taken
from images.nfs import kernel as nfs_kernel
from images.nfs.server import tool
from pxe.dhcp import interfaces
from pxe.dhcp.probe import probe
from pxe.dhcp.subnet import Mode

LOW_BYTES, LOW_SHARE = 2 * 2**30, 0.05
NFS_TOOLS = {"ganesha.nfsd": "nfs-ganesha nfs-ganesha-vfs"}
NEEDED = {10: "CAP_NET_BIND_SERVICE", 13: "CAP_NET_RAW"}  # bits of linux/capability.h


Check = Callable[[Config], Iterator[Finding]]


def look(config: Config, checks: Sequence[Check]) -> list[Finding]:
    """What all checks find, in their order."""
    return [finding for check in checks for finding in check(config)]


def interfaces_usable(config: Config) -> Iterator[Finding]:
    """Listed interfaces exist, are up and have an address on a configured subnet."""
    if not config.interfaces:
        yield Finding(
            Level.ERROR,
            "no interface is listed, so nobody is answered",
            'set interfaces = ["NAME"] in the configuration',
        )
    for name in config.interfaces:
        yield from _interface(config, name)


def _interface(config: Config, name: str) -> Iterator[Finding]:
    try:
        found = interfaces.addresses(name)
    except OSError:
        known = ", ".join(name for _, name in socket.if_nameindex())
        yield Finding(Level.ERROR, f"there is no interface {name}", f"this machine has {known}", fatal=True)
        return
    up, give = f"ip link set {name} up", f"ip address add ADDRESS/PREFIX dev {name}"
    if not interfaces.is_up(name):
        if found:
            yield Finding(Level.ERROR, f"interface {name} is down", up)
        else:
            what = f"interface {name} is down and has no IPv4 address"
            yield Finding(Level.ERROR, what, f"{up} && {give}")
    elif not found:
        yield Finding(Level.ERROR, f"interface {name} has no IPv4 address", give)
    elif config.subnets and not any(address.ip in s.cidr for address in found for s in config.subnets):
        addresses = ", ".join(str(address) for address in found)
        yield Finding(
            Level.ERROR,
            f"interface {name} ({addresses}) is on no configured subnet",
            "add a [[subnets]] entry with its network, or correct `cidr`",
        )


def subnets_reachable(config: Config) -> Iterator[Finding]:
    """There is a subnet to serve at all."""
    if config.interfaces and config.dhcp.enabled and not config.subnets:
        yield Finding(
            Level.ERROR, "no subnet is configured, so DHCP answers nobody", "add a [[subnets]] entry"
        )


def ports_free(config: Config) -> Iterator[Finding]:
    """Nobody else has our ports."""
    said: set[Finding] = set()  # one program may have a port on several of our addresses
    for section, port in _wanted(config):
        if taken(port):
            who = holder(port) or "another program"
            finding = Finding(
                Level.ERROR,
                f"{port.protocol.upper()} port {port.number} is taken by {who}",
                f"stop it, or set another [{section}] port",
                fatal=True,
            )
            if finding not in said:
                said.add(finding)
                yield finding


def ports_free_or_ours(config: Config) -> Iterator[Finding]:
    """The same while the service may be running."""
    return (finding for finding in ports_free(config) if "a bootsrv that runs" not in finding.what)


def _wanted(config: Config) -> Iterator[tuple[str, Port]]:
    for name in config.interfaces:
        if config.dhcp.enabled:
            yield "dhcp", Port("udp", config.dhcp.port, device=name)
            yield "dhcp", Port("udp", config.dhcp.proxy_port, device=name)
        if config.tftp.enabled:
            yield "tftp", Port("udp", config.tftp.port, device=name)
        if config.dns.enabled and config.domain:
            yield "dns", Port("udp", config.dns.port, device=name)
            yield "dns", Port("tcp", config.dns.port, device=name)
    if config.http.enabled:
        for address, number in [*listen_on(config), *listen_securely(config)]:
            yield "http", Port("tcp", number, address)
    if config.nbd.enabled:
        for address, number in nbd_listens_on(config):
            yield "nbd", Port("tcp", number, address)


def http_where_machines_look(config: Config) -> Iterator[Finding]:
    """Machines load from the address that DHCP answered them with: HTTP has to listen there."""
    chosen = config.http.address
    if not config.http.enabled or chosen is None or ip_address(chosen).is_unspecified:
        return
    for name in config.interfaces:
        own = [str(address.ip) for address in _addresses(name)]
        if own and chosen not in own:
            yield Finding(
                Level.ERROR,
                f"machines on {name} are told to load from {own[0]}, and HTTP listens on {chosen} only",
                "remove `address` from [http]: it then listens on the listed interfaces",
            )


def _addresses(name: str) -> list[IPv4Interface]:
    try:
        return list(interfaces.addresses(name))
    except OSError:
        return []  # `interfaces_usable` has said it


def capabilities(config: Config) -> Iterator[Finding]:
    """We may open raw sockets and low ports."""
    if not config.interfaces:
        return
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            missing = [name for bit, name in NEEDED.items() if not effective >> bit & 1]
            if missing:
                what = f"missing {' and '.join(missing)}"
                yield Finding(Level.ERROR, what, "start it as root", fatal=True)


def disk_room(config: Config) -> Iterator[Finding]:
    """There is room for images and, more urgently, for leases."""
    place = config.data_dir
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    if usage.free < 64 * 2**20:
        what = f"only {usage.free // 2**20} MiB are free on {place}"
        yield Finding(Level.ERROR, what, "make room", fatal=True)
    elif usage.free < LOW_BYTES and usage.free < usage.total * LOW_SHARE:
        yield Finding(
            Level.WARNING,
            f"only {usage.free / 2**30:.1f} GiB are free on {place}",
            "make room before the next image",
        )
    if not os.access(place, os.W_OK):
        do = "start it as root, or choose another data_dir"
        yield Finding(Level.ERROR, f"{place} cannot be written", do, fatal=True)


def payloads_there(config: Config) -> Iterator[Finding]:
    """Loaders and the imager have been made."""
    do = "./run setup makes them; then start the service again (or set payload_dir)"
    if not any(name.endswith((".kpxe", ".efi")) for name in payload.files(config)):
        yield Finding(Level.ERROR, f"no boot loaders in {payload.loaders_dir(config)}", do)
    for name in ("vmlinuz", "initrd.img"):
        if not (payload.imager_dir(config) / name).is_file():
            yield Finding(Level.ERROR, f"no imager: {payload.imager_dir(config) / name} is missing", do)
            return


def nfs_possible(config: Config) -> Iterator[Finding]:
    """Roots over NFS can be had. Whether a node wants one is not known here: so no more than a warning."""
    if not config.nfs.enabled or (config.nfs.backend != "ganesha" and nfs_kernel.runs()):
        return
    if config.nfs.backend == "kernel":
        yield Finding(
            Level.WARNING,
            "the kernel's NFS server does not run, and [nfs] backend asks for it",
            'systemctl enable --now nfs-server, or set backend = "auto"',
        )
        return
    missing = [package for name, package in NFS_TOOLS.items() if tool(name) is None]
    if missing:
        yield Finding(
            Level.WARNING,
            f"no roots over NFS: {', '.join(missing)} is not installed",
            f"apt-get install {' '.join(missing)}",
        )
    known = Path("/proc/filesystems").read_text().split()
    if "erofs" not in known and not any(Path(f"/lib/modules/{os.uname().release}").rglob("erofs.ko*")):
        yield Finding(
            Level.WARNING, "no roots over NFS: this kernel has no EROFS", "boot one that has (Debian's have)"
        )
    for number in (config.nfs.port, config.nfs.mount_port):
        who = holder(Port("tcp", number))
        if taken(Port("tcp", number)) and not _our_ganesha(config, who or ""):
            yield Finding(
                Level.WARNING,
                f"no roots over NFS: TCP port {number} is taken by {who or 'another program'}",
                "stop it, or set other ports in [nfs]",
            )


def _our_ganesha(config: Config, who: str) -> bool:
    """Whether `holder` named the one that we started: Debian starts another as soon as it is installed."""
    found = re.search(r"\(process (\d+)\)", who)
    try:
        words = Path(f"/proc/{found[1]}/cmdline").read_bytes() if found else b""
    except (FileNotFoundError, ProcessLookupError):
        return False
    return os.fsencode(config.data_dir / "nfs") in words


def firewall_open(config: Config) -> Iterator[Finding]:
    """No packet filter drops what machines ask."""
    if not config.interfaces:
        return
    sections = (config.dhcp, config.tftp, config.dns, config.http)
    ports = [section.port for section in sections if section.enabled]
    if config.http.enabled and config.http.tls_port is not None:
        ports.append(config.http.tls_port)
    try:
        found = firewall.blocked(firewall.ruleset(), ports)
    except firewall.Unreadable as error:
        yield Finding(
            Level.WARNING, f"the firewall could not be looked at: {error}", "look yourself: nft list ruleset"
        )
        return
    if found is not None:
        chain, missing = found
        listed = ", ".join(map(str, missing))
        yield Finding(
            Level.WARNING,
            f"the firewall chain `{chain}` drops by default and no rule accepts port {listed}",
            f"accept them on {', '.join(config.interfaces)}",
        )


def other_servers(config: Config) -> Iterator[Finding]:
    """As authority we are alone; as proxy we are not. Takes up to four seconds for each interface."""
    modes = {subnet.mode for subnet in config.subnets}
    if not config.dhcp.enabled or not modes:
        return
    for name in config.interfaces:
        if name not in (there for _, there in socket.if_nameindex()) or not interfaces.is_up(name):
            continue  # `interfaces_usable` has said it
        try:
            found = asyncio.run(probe(name))
        except OSError as error:
            what = f"interface {name} cannot be listened on: {error.strerror or error}"
            do = "start it as root" if isinstance(error, PermissionError) else f"look at: ip link show {name}"
            yield Finding(Level.WARNING, what, do)
            continue
        if found and Mode.AUTHORITATIVE in modes:
            yield Finding(
                Level.ERROR,
                f"{found[0]}, where we are the authority",
                'switch that one off, or set mode = "proxy"',
            )
        elif not found and modes == {Mode.PROXY}:
            yield Finding(
                Level.WARNING,
                f"no DHCP server answers on {name}, and in proxy mode we give no addresses",
                'start one there, or set mode = "authoritative" with pools',
            )


# The server looks for rivals itself, when it opens its sockets and ever after.
AT_START: Sequence[Check] = (
    interfaces_usable, subnets_reachable, settingscheck.dhcp_agrees, settingscheck.pools_are_free,
    settingscheck.services_are_on, ports_free, http_where_machines_look, capabilities, disk_room,
    payloads_there, nfs_possible, firewall_open, packagecheck.trees_whole, packagecheck.archives_distinct,
    packagecheck.cache_fits,
)  # fmt: skip
ALL: Sequence[Check] = (
    *(ports_free_or_ours if check is ports_free else check for check in AT_START), other_servers,
    packagecheck.archives_answer,
)  # fmt: skip
