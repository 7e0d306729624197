"""The disk runs full under the real process: no machine is told that it has a lease which is not on the disk,
reservations and boot go on, it is said, and all is well again by itself when there is room."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from dhcp_wire import NETNS, ROOT, Wire, run, wire
from test_dhcp_kill import Killed, discover, take

from pxe.dhcp.codes import Kind
from pxe.dhcp.wire import BROADCAST

__all__ = ["wire"]  # the fixture
pytestmark = [*NETNS, pytest.mark.timeout(120)]
NODE, ADDRESS = "52:54:00:77:00:01", IPv4Address("10.93.0.77")
STRANGERS = 200


@pytest.fixture
def full(wire: Wire) -> Iterator[Killed]:
    """The process on a file system of its own, which is small."""
    data = wire.tmp / "data"
    data.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data))
    wire.stack.callback(run, "umount", "--lazy", str(data), check=False)
    killed = Killed(wire)
    wire.stack.callback(lambda: killed.process.poll() is None and killed.kill())
    bootsrv(killed, "node", "add", "n1", "--mac", NODE, "--address", str(ADDRESS))
    killed.start()
    yield killed


def bootsrv(killed: Killed, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "bootsrv.cli.main", "--config", str(killed.config), *words],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout  # fmt: skip


def fill(data: Path) -> Path:
    """Take all the room there is, to the last byte."""
    ballast = data / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return ballast


def lease(killed: Killed, mac: str, patience: float = 0.5) -> IPv4Address | None:
    """One machine's four messages; None when no ACK comes."""
    killed.send(discover(mac, flags=BROADCAST))
    offers = killed.answers(10, 1)
    assert [offer.options[53][0] for offer in offers] == [Kind.OFFER]
    killed.send(take(offers[0]))
    answers = killed.answers(patience, 1)
    if not answers:
        return None
    assert answers[0].options[53][0] == Kind.ACK
    killed.acked[mac] = answers[0].yiaddr
    return answers[0].yiaddr


def test_no_lease_that_is_not_stored_and_well_again_by_itself(full: Killed, wire: Wire) -> None:
    assert lease(full, "52:54:00:00:00:01", 10) is not None
    ballast = fill(wire.tmp / "data")
    refused = 0
    for number in range(2, STRANGERS):  # a few still fit where the journal's last page has room
        if lease(full, f"52:54:00:00:00:{number:02x}", 0.05 if refused else 0.5) is None:
            refused += 1
    assert refused > STRANGERS // 2
    assert lease(full, NODE, 10) == ADDRESS
    ballast.unlink()
    ends = time.monotonic() + 60
    while lease(full, "52:54:00:00:01:01") is None:
        assert time.monotonic() < ends
    while "alarm.leases" not in bootsrv(full, "events", "--json"):  # kept until there was room for it
        assert time.monotonic() < ends
    full.kill()
    assert "leases cannot be stored" in full.said and "Traceback" not in full.said
    full.all_kept()
