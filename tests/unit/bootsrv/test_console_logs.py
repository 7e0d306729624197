"""Console logs over TFTP: from armed machines that are known by their address, one at a time, bounded, as
text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.consolelogs import AT_ONCE, LIMIT, ConsoleLogs
from bootsrv.nodeset import expand
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry

MAC, PEER = "52:54:00:00:00:01", "10.77.0.11"


@pytest.fixture
def logs(registry: Registry, tmp_path: Path, clock: Any) -> ConsoleLogs:
    peers = Peers(registry, tmp_path / "arp", clock)
    recorder = Recorder(registry, peers, clock)

    def keep(mac: str, text: str) -> None:
        recorder.log(mac, text)
        recorder._write([recorder._queue.popleft()])

    return ConsoleLogs(registry, peers, keep)


@pytest.fixture
def armed(house: Appliance) -> Appliance:
    house.nodes.add(Wanted(name="n1", macs=[MAC], address=PEER, image="debian"))
    house.deploys.reimage([house.nodes.show("n1")])
    return house


def said(house: Appliance) -> str:
    return "".join(text for _, text in house.watch.log(house.nodes.show("n1")))


def test_what_an_armed_machine_says_is_in_its_log(logs: ConsoleLogs, armed: Appliance) -> None:
    upload = logs.begin("/Console.log", PEER, None)
    assert upload is not None
    for piece in (b"one\x1b[31m\r\n", b"t\xc3", b"\xa9o\n\xff"):
        upload.write(piece)
    assert said(armed) == ""
    upload.finish()
    assert said(armed) == "one[31m\nt\u00e9o\n\ufffd"
    again = logs.begin("console.log", PEER, 10)
    assert again is not None


@pytest.mark.parametrize(
    ("name", "peer", "size"),
    [
        ("console.log", "10.77.0.12", None),  # nobody that we know
        ("console.log", "10.77.0.13", None),  # not armed
        ("console.log", PEER, LIMIT + 1),
        ("other.log", PEER, None),
        ("../console.log", PEER, None),
        ("", PEER, None),
    ],
)
def test_all_else_is_refused(
    logs: ConsoleLogs, armed: Appliance, name: str, peer: str, size: int | None
) -> None:
    armed.nodes.add(Wanted(name="n3", macs=["52:54:00:00:00:03"], address="10.77.0.13"))
    assert logs.begin(name, peer, size) is None


def test_one_at_a_time_and_no_more_of_all_than_are_bounded(logs: ConsoleLogs, armed: Appliance) -> None:
    first = logs.begin("console.log", PEER, None)
    assert first is not None and logs.begin("console.log", PEER, None) is None
    first.write(b"half a line")
    first.abort("the client left")
    assert said(armed) == "" and logs.begin("console.log", PEER, None) is not None
    for number, name in enumerate(expand("m[01-80]"), 20):
        mac = f"52:54:00:00:01:{number:02x}"
        armed.nodes.add(Wanted(name=name, macs=[mac], address=f"10.77.0.{number}", image="debian"))
        armed.deploys.reimage([armed.nodes.show(name)])
    open_ = [logs.begin("console.log", f"10.77.0.{number}", None) for number in range(20, 100)]
    assert len([upload for upload in open_ if upload is not None]) == AT_ONCE - 1
