"""kill -9 at any moment: no ACKed lease is lost, none is given to a second machine. The real process with the
real registry, on a wire of its own."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from dhcp_wire import NETNS, ROOT, Wire, wire

sys.path.insert(0, str(ROOT / "tests/unit/pxe/dhcp"))
from dhcp_house import discover, message

from pxe.dhcp import wire as codec
from pxe.dhcp.codes import Kind
from pxe.dhcp.wire import BROADCAST, Packet

__all__ = ["wire"]  # the fixture
pytestmark = [*NETNS, pytest.mark.timeout(300)]
CONFIG = """
data_dir = "{data}"
interfaces = ["br0"]
[dhcp]
force = true
check_addresses = false
[tftp]
enabled = false
[[subnets]]
cidr = "10.93.0.0/16"
mode = "authoritative"
pools = ["10.93.1.0-10.93.20.255"]
"""
TOGETHER = 20  # clients in each round


class Killed:
    """The packets process, and a socket among its clients."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.config = wire.tmp / "bootsrv.toml"
        self.config.write_text(CONFIG.format(data=wire.tmp / "data"))
        thread = threading.Thread(target=self._open)
        thread.start()
        thread.join()
        wire.stack.callback(self.socket.close)
        self.acked: dict[str, IPv4Address] = {}
        self.said = ""  # by processes that ended

    def _open(self) -> None:
        """A thread may be in another network namespace than its process; the socket stays there."""
        with Path("/run/netns", self.wire.client).open() as there:
            assert ctypes.CDLL(None, use_errno=True).setns(there.fileno(), 0x40000000) == 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        self.socket.setblocking(False)
        self.socket.bind(("0.0.0.0", 68))

    def start(self) -> None:
        ours, theirs = os.pipe()
        command = [sys.executable, "-m", "bootsrv.packets", "--config", str(self.config)]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.wire.server, *command],
            env={**os.environ, "PYTHONPATH": str(ROOT), "BOOTSRV_READY_FD": str(theirs)},
            pass_fds=[theirs],
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        assert os.read(ours, 10), self.process.communicate()
        os.close(ours)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.said += self.process.communicate()[1].decode()

    def send(self, *packets: Packet) -> None:
        for packet in packets:
            self.socket.sendto(codec.build(packet), ("255.255.255.255", 67))

    def answers(self, seconds: float, most: int) -> list[Packet]:
        got: list[Packet] = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and len(got) < most:
            try:
                got.append(codec.parse(self.socket.recv(2000)))
            except BlockingIOError:
                time.sleep(0.0005)
        return got

    def round(self, number: int, chance: random.Random) -> None:
        """Clients ask for leases, and the server dies while it answers."""
        macs = [f"52:54:00:00:{number:02x}:{n:02x}" for n in range(TOGETHER)]
        self.start()
        self.send(*(discover(mac, flags=BROADCAST) for mac in macs))
        offers = self.answers(10, TOGETHER)
        assert len(offers) == TOGETHER
        for offer in offers[: chance.randint(TOGETHER // 2, TOGETHER - 1)]:
            self.send(take(offer))
        awaited = chance.randint(0, TOGETHER // 2)
        acks = self.answers(10, awaited)
        assert len(acks) == awaited
        time.sleep(chance.uniform(0, 0.002))
        self.kill()
        for ack in acks + self.answers(0.05, TOGETHER):
            assert ack.options[53][0] == Kind.ACK
            self.acked[ack.chaddr.hex(":")] = ack.yiaddr

    def all_kept(self) -> None:
        """Everybody may keep what was promised, and newcomers get something else."""
        assert len(set(self.acked.values())) == len(self.acked)
        self.start()
        for mac, address in self.acked.items():
            self.send(message(Kind.REQUEST, mac, {50: address.packed}, flags=BROADCAST))
            (answer,) = self.answers(5, 1)
            assert (answer.options[53][0], answer.yiaddr) == (Kind.ACK, address)
        fresh = [f"52:54:00:01:00:{n:02x}" for n in range(TOGETHER)]
        self.send(*(discover(mac, flags=BROADCAST) for mac in fresh))
        offered = {offer.yiaddr for offer in self.answers(5, TOGETHER)}
        assert len(offered) == TOGETHER and not offered & set(self.acked.values())
        self.kill()


def take(offer: Packet) -> Packet:
    chosen = {50: offer.yiaddr.packed, 54: offer.options[54]}
    return message(Kind.REQUEST, offer.chaddr.hex(":"), chosen, flags=BROADCAST)


@pytest.mark.parametrize("kills", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_no_acked_lease_is_lost_or_given_twice(wire: Wire, kills: int) -> None:
    killed = Killed(wire)
    wire.stack.callback(lambda: killed.process.poll() is None and killed.kill())
    chance = random.Random(kills)
    for number in range(kills):
        killed.round(number, chance)
    assert 0 < len(killed.acked) < kills * TOGETHER  # some were killed before, some after their ACK
    killed.all_kept()
