"""One simulated machine from power-on to having its kernel and initrd in memory.

Firmware DHCP, loader by TFTP, iPXE DHCP, script, kernel and initrd by HTTP: the way of a real machine.
With URLs given (for a server without iPXE scripts) those are loaded right after the loader. The law: it
ends with a Result whose failure names the stage; only bugs raise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from bootsrv.storm import script
from bootsrv.storm.addresses import Addresses
from bootsrv.storm.dhcp_client import DhcpClient, Identity, Lease, Who, release
from bootsrv.storm.ether import Ether
from bootsrv.storm.http_client import HttpClient
from bootsrv.storm.tftp_client import TftpClient
from bootsrv.storm.transfers import Broken, http, tftp
from pxe.dhcp import wire

STAGES = ("dhcp", "tftp", "ipxe dhcp", "script", "http")


@dataclass(frozen=True, slots=True)
class Way:
    """What every machine of a storm does. `patience` scales the waits of DHCP and TFTP (1: as firmware)."""

    interface: str
    server: IPv4Address
    file: str = ""  # loader, when the server names none
    urls: tuple[str, ...] = ()  # load these instead of following an iPXE script
    blksize: int = 1432
    windowsize: int = 1
    tftp_port: int = 69
    attempts: int = 1  # boots that a machine tries, as firmware goes round its boot order
    patience: float = 1.0


@dataclass(slots=True)
class Result:
    """What became of one machine. Times are seconds."""

    mac: bytes
    stages: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    retransmits: int = 0
    failed: str = ""  # "STAGE: reason" of the last attempt
    attempts: int = 0
    local: bool = False  # the script sent it to its own disk
    lease: Lease | None = None


class Machine:
    """`await boot()` once; `go` releases its address."""

    def __init__(
        self, way: Way, identity: Identity, ether: Ether, addresses: Addresses, next_xid: Callable[[], int]
    ) -> None:
        self._way, self._identity, self._ether, self._addresses = way, identity, ether, addresses
        self._next_xid = next_xid
        self.result = Result(identity.mac)

    async def boot(self, limit: float) -> Result:
        """The whole way, in at most `limit` seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(limit):
                await self._attempts()
        except TimeoutError:
            stage = next((name for name in STAGES if name not in self.result.stages), STAGES[-1])
            self.result.failed = f"{stage}: not done after {limit:.0f} s"
        self.result.seconds = loop.time() - began
        return self.result

    def go(self) -> None:
        """Give the address back."""
        lease = self.result.lease
        if lease is not None:
            packet = release(self._identity, lease, self._next_xid())
            self._ether.unicast(self._identity.mac, lease.address.ip, lease.server, packet)

    async def _attempts(self) -> None:
        while True:
            self.result.attempts += 1
            self.result.stages.clear()
            try:
                await self._boot()
                return
            except Broken as error:
                if self.result.attempts >= self._way.attempts:
                    self.result.failed = str(error)
                    return

    async def _boot(self) -> None:
        way = self._way
        lease = await self._dhcp("dhcp", Who.FIRMWARE)
        name = lease.filename or way.file
        async with self._stage("tftp"):
            if not name or "://" in name:
                raise Broken(
                    "the server names no file to load by TFTP" if not name else f"{name} is no TFTP file"
                )
            await self._tftp(name, lease)
        urls = way.urls
        if not urls:
            lease = await self._dhcp("ipxe dhcp", Who.IPXE)
            found = await self._script(lease)
            self.result.local = found.local
            urls = found.urls
        async with self._stage("http"):
            for url in urls:
                await self._http(url, lease)

    @asynccontextmanager
    async def _stage(self, name: str) -> AsyncIterator[None]:
        """Takes the time of a stage, and puts its name before what went wrong in it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        except (Broken, OSError) as error:
            raise Broken(f"{name}: {error}") from error
        self.result.stages[name] = loop.time() - began

    async def _dhcp(self, stage: str, who: Who) -> Lease:
        async with self._stage(stage):
            loop = asyncio.get_running_loop()
            xid = self._next_xid()
            client = DhcpClient(who, self._identity, xid, self._way.server, self._way.patience)
            wake = asyncio.Event()

            def receive(packet: wire.Packet, source: IPv4Address) -> None:
                self._say(client.receive(packet, source, loop.time()))
                wake.set()

            self._ether.listen(xid, receive)
            try:
                self._say(client.start(loop.time()))
                while not client.done:
                    wake.clear()
                    try:
                        async with asyncio.timeout_at(client.deadline):
                            await wake.wait()
                    except TimeoutError:
                        self._say(client.tick(loop.time()))
            finally:
                self._ether.forget(xid)
                self.result.retransmits += client.retransmits
            if client.lease is None:
                raise Broken(client.failed)
            self.result.lease = client.lease
            self._addresses.add(client.lease.address)
            return client.lease

    def _say(self, packet: wire.Packet | None) -> None:
        if packet is not None:
            self._ether.broadcast(self._identity.mac, packet)

    async def _tftp(self, name: str, lease: Lease) -> None:
        way = self._way
        client = TftpClient(name, way.blksize, way.windowsize, way.patience)
        try:
            await tftp(
                client, way.interface, lease.address.ip, lease.boot_server, way.tftp_port, self._ether.dropped
            )
        finally:
            self.result.bytes += client.size
            self.result.retransmits += client.retransmits

    async def _script(self, lease: Lease) -> script.Script:
        async with self._stage("script"):
            client = await self._http(lease.filename, lease, keep=True)
            found = script.read(client.body.decode("utf-8", "replace"), lease.filename)
            if not found.urls and not found.local:
                raise Broken("the script loads nothing: is the server ready?")
            return found

    async def _http(self, url: str, lease: Lease, keep: bool = False) -> HttpClient:
        try:
            client = HttpClient(url, keep)
        except ValueError as error:
            raise Broken(str(error)) from error
        try:
            await http(client, self._way.interface, lease.address.ip)
        finally:
            self.result.bytes += client.size
        return client
