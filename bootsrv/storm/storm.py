"""Starts the machines, spread over a ramp, and waits for all of them. Bounded in count and in time.

The law: whatever happens, at the end (also after Ctrl-C) the addresses are off the interface and, unless
they are to stay, the leases are given back.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count
from random import Random

from bootsrv.errors import Invalid
from bootsrv.storm.addresses import Addresses
from bootsrv.storm.dhcp_client import Identity
from bootsrv.storm.ether import Ether
from bootsrv.storm.machine import Machine, Result, Way
from bootsrv.storm.report import Report, summarise
from pxe.dhcp import interfaces

MAX_MACHINES = 10_000
MAX_SECONDS = 3600.0
FIRMWARE = {"bios": (0,), "uefi": (7,), "mixed": (0, 7)}  # IANA processor architectures
MAC_PREFIX = b"\x02\xb0\x07"  # locally administered: no real card has it
_SPARE_FILES = 64

Progress = Callable[[int, int, int], None]  # started, booted, failed


@dataclass(frozen=True, slots=True)
class Settings:
    """One storm. Times in seconds; `loss` is the share of DHCP and TFTP packets dropped each way; `first` is
    the number of the first machine, which its MAC is made of."""

    way: Way
    machines: int = 100
    ramp: float = 0.0
    limit: float = 300.0
    firmware: str = "uefi"
    loss: float = 0.0
    first: int = 0
    keep_leases: bool = False


def check(settings: Settings) -> None:
    """Raises Invalid with one line for settings that make no sense here, OSError for an unknown interface."""
    if not 1 <= settings.machines <= MAX_MACHINES:
        raise Invalid(f"{settings.machines} machines: from 1 to {MAX_MACHINES} can be simulated")
    if not 0 <= settings.first <= 0xFFFFFF - settings.machines:
        raise Invalid(f"the first machine's number must be from 0 to {0xFFFFFF - settings.machines}")
    if not 0 < settings.limit <= MAX_SECONDS or not 0 <= settings.ramp <= MAX_SECONDS:
        raise Invalid(f"limit and ramp are at most {MAX_SECONDS:.0f} s each, and the limit is more than 0")
    if not 0 <= settings.loss < 1:
        raise Invalid("the loss is a share from 0 to below 1")
    if settings.firmware not in FIRMWARE:
        raise Invalid(f"firmware {settings.firmware!r} is none of {', '.join(FIRMWARE)}")
    name, server = settings.way.interface, settings.way.server
    interfaces.read(name)
    if not interfaces.is_up(name):
        raise Invalid(f"interface {name} is down: ip link set {name} up")
    if _is_local(server):
        raise Invalid(
            f"{server} is this machine's own address: "
            "start the storm from another machine or another network namespace"
        )


def _is_local(server: IPv4Address) -> bool:
    """Whether the kernel would talk to itself. Connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(server), 9))
        except OSError:
            return False  # no route yet: the machines bring their own
        return bool(sock.getsockname()[0] == str(server))


async def run(settings: Settings, progress: Progress = lambda started, booted, failed: None) -> Report:
    """Run one storm. Raises Invalid, or OSError (no such interface, no right to use it)."""
    check(settings)
    _open_files(settings.machines + _SPARE_FILES)
    loop = asyncio.get_running_loop()
    seconds = int(settings.ramp + settings.limit) + 60
    with Addresses(settings.way.interface, seconds) as addresses:
        try:
            ether = Ether(settings.way.interface, settings.loss)
        except PermissionError as error:
            raise Invalid("only root can do this (CAP_NET_RAW and CAP_NET_ADMIN)") from error
        machines = _machines(settings, ether, addresses)
        began = loop.time()
        try:
            results = await _boot_all(settings, machines, progress)
            return summarise(results, loop.time() - began)
        finally:
            if not settings.keep_leases:
                for machine in machines:
                    machine.go()
            ether.close()


def _machines(settings: Settings, ether: Ether, addresses: Addresses) -> list[Machine]:
    # Transaction ids only have to differ from each other and from those of the last run.
    xids = count(Random().getrandbits(31))  # noqa: S311
    kinds = FIRMWARE[settings.firmware]
    made = []
    for number in range(settings.first, settings.first + settings.machines):
        identity = Identity(MAC_PREFIX + number.to_bytes(3, "big"), kinds[number % len(kinds)])
        made.append(Machine(settings.way, identity, ether, addresses, lambda: next(xids) & 0xFFFFFFFF))
    return made


async def _boot_all(settings: Settings, machines: Sequence[Machine], progress: Progress) -> list[Result]:
    counts = {"started": 0, "booted": 0, "failed": 0}

    async def one(place: int, machine: Machine) -> Result:
        await asyncio.sleep(settings.ramp * place / len(machines))
        counts["started"] += 1
        result = await machine.boot(settings.limit)
        counts["failed" if result.failed else "booted"] += 1
        return result

    async def watch() -> None:
        while True:
            progress(counts["started"], counts["booted"], counts["failed"])
            await asyncio.sleep(1.0)

    watcher = asyncio.create_task(watch())
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(place, machine)) for place, machine in enumerate(machines)]
    finally:
        watcher.cancel()
    progress(counts["started"], counts["booted"], counts["failed"])
    return [task.result() for task in tasks]


def _open_files(needed: int) -> None:
    """Each machine holds one socket at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Invalid(f"{needed} files must be open at once, {hard} are allowed: ulimit -n {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
