"""Real datagrams and streams, by util-linux's logger and by hand: only who is welcome is heard."""

from __future__ import annotations

import asyncio
import socket
import subprocess

from pxe.sockets import Listen
from pxe.syslog.server import MOST_OF_ONE, SyslogServer
from pxe.syslog.wire import LONGEST, Message


class Keeper:
    """Welcomes all but those named."""

    def __init__(self, *unwelcome: str) -> None:
        self.unwelcome = unwelcome
        self.kept: list[Message] = []

    def welcome(self, peer: str) -> bool:
        return peer not in self.unwelcome

    def keep(self, peer: str, message: Message) -> None:
        assert peer == "127.0.0.1"
        self.kept.append(message)

    async def until(self, count: int) -> list[Message]:
        for _ in range(500):
            if len(self.kept) >= count:
                break
            await asyncio.sleep(0.01)
        return self.kept


async def serving(keeper: Keeper) -> tuple[SyslogServer, int]:
    server = SyslogServer(keeper)
    await server.start([Listen("127.0.0.1", 0)])
    return server, server.bound[0]


def logger(port: int, *words: str) -> None:
    base = ["logger", "--server", "127.0.0.1", "--port", str(port), "--tag", "anaconda", "--id=77"]
    subprocess.run([*base, *words], check=True, timeout=20)


def test_logger_by_each_way_and_each_form() -> None:
    async def run() -> None:
        keeper = Keeper()
        server, port = await serving(keeper)
        for way in ("--udp", "--tcp"):
            for form in ("--rfc3164", "--rfc5424"):
                await asyncio.to_thread(logger, port, way, form, f"by {way} in {form}")
        got = await keeper.until(4)
        assert {one.text for one in got} == {f"by {way} in {form}" for way in ("--udp", "--tcp")
                                             for form in ("--rfc3164", "--rfc5424")}  # fmt: skip
        assert {(one.program, one.pid) for one in got} == {("anaconda", "77")}
        await server.close()

    asyncio.run(run())


def test_who_is_not_welcome_is_not_heard() -> None:
    async def run() -> None:
        keeper = Keeper("127.0.0.1")
        server, port = await serving(keeper)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<14>x", ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionResetError:
            pass
        writer.close()
        await asyncio.sleep(0.1)
        assert keeper.kept == [] and server.refused == 2
        await server.close()

    asyncio.run(run())


def test_no_peer_takes_all_streams_or_endless_lines() -> None:
    async def run() -> None:
        keeper = Keeper()
        server, port = await serving(keeper)
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_OF_ONE)]
        await asyncio.sleep(0.1)
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionResetError:
            pass
        streams[0][1].write(b"<14>" + b"x" * (2 * LONGEST))
        assert await asyncio.wait_for(streams[0][0].read(), 5) == b""
        streams[1][1].write(b"<14>one\n<14>tw")
        await streams[1][1].drain()
        streams[1][1].close()
        assert [one.text for one in await keeper.until(2)] == ["one", "tw"]
        await server.close()

    asyncio.run(run())


def test_a_flood_is_cut_and_the_next_peer_heard() -> None:
    async def run() -> None:
        keeper = Keeper()
        server, port = await serving(keeper)
        server._allowance._burst = 50
        server._allowance._rate = 0.0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(100):
                sender.sendto(f"<14>a: {number}".encode(), ("127.0.0.1", port))
        await keeper.until(50)
        await asyncio.sleep(0.1)
        assert len(keeper.kept) == 50 and server.dropped == 50
        await server.close()

    asyncio.run(run())
