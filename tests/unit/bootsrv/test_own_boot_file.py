"""A machine that boots something we did not make: the DHCP option `bootfile-name`, as DHCP and people see
it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bootsrv import ownfile
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.config_sections import NodeDefaults
from bootsrv.dhcpview import HouseBoots
from bootsrv.knownnodes import KnownNodes
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry
from pxe.dhcp.ports import BootFile, Client, Stage
from pxe.dhcp.subnet import build_subnet
from pxe.loaders import loader_for

MAC = "52:54:00:00:00:01"
US = IPv4Address("10.77.0.1")
FIRMWARE = Client(MAC, Stage.FIRMWARE, arch=0)
HTTP_BOOT = Client(MAC, Stage.FIRMWARE, arch=16, http_boot=True)


@pytest.fixture
def recorder(registry: Registry, clock: Any, tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(registry, Peers(registry, tmp_path / "arp", clock), clock)
    made.start()
    yield made
    made.close()


def told(
    config: Config, registry: Registry, recorder: Recorder, client: Client = FIRMWARE
) -> BootFile | None:
    return HouseBoots(config, KnownNodes(registry), recorder).decide(client, US)


def test_a_nodes_own_file_is_what_it_is_told(
    house: Appliance, config: Config, registry: Registry, recorder: Recorder
) -> None:
    house.groups.set_options("menu", {"bootfile-name": "grubx64.efi"})
    house.nodes.add(Wanted(name="n1", macs=[MAC], groups=["menu"], options={"bootfile-name": "pxelinux.0"}))
    assert told(config, registry, recorder) == BootFile("pxelinux.0", US, ownfile.REASON)
    lines = {line.label: line.text for line in house.watch.explain(house.nodes.show("n1"))}
    assert lines["boots"] == f"pxelinux.0: {ownfile.REASON}"


def test_an_imaging_comes_first(
    house: Appliance, config: Config, registry: Registry, recorder: Recorder
) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian", options={"bootfile-name": "pxelinux.0"}))
    found = told(config, registry, recorder)
    assert found is not None and found.filename == "undionly.kpxe"
    lines = {line.label: line.text for line in house.watch.explain(house.nodes.show("n1"))}
    assert lines["boots"].startswith("imager")


def test_http_boot_gets_it_as_a_url_of_the_public_files(
    house: Appliance, config: Config, registry: Registry, recorder: Recorder
) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], options={"bootfile-name": "/efi/grubx64.efi"}))
    found = told(config, registry, recorder, HTTP_BOOT)
    assert found is not None and found.filename == "http://10.77.0.1:8080/public/efi/grubx64.efi"


@pytest.mark.parametrize("server, told_server", [("10.77.0.9", "10.77.0.9"), ("boot.example.org", None)])
def test_another_server(
    house: Appliance, config: Config, registry: Registry, recorder: Recorder, server: str, told_server: str
) -> None:
    options = {"bootfile-name": "menu.0", "tftp-server-name": server}
    house.nodes.add(Wanted(name="n1", macs=[MAC], options=options))
    found = told(config, registry, recorder)
    assert (None if found is None else str(found.server)) == told_server


def test_machines_that_are_left_alone_get_their_subnets_file(
    config: Config, registry: Registry, recorder: Recorder
) -> None:
    subnet = build_subnet({"cidr": "10.77.0.0/24", "options": {"bootfile-name": "menu.0"}})
    config = replace(config, subnets=(subnet,))
    found = told(replace(config, nodes=NodeDefaults(discover=False)), registry, recorder)
    assert found is not None and found.filename == "menu.0"
    found = told(config, registry, recorder)
    assert found is not None and found.filename == "undionly.kpxe", "unknown machines are looked at first"


@pytest.mark.parametrize("code", [code for code in range(43) if loader_for(code) is None])
def test_where_we_have_no_loader_its_own_file_counts_or_a_line_says_so(
    house: Appliance, config: Config, registry: Registry, recorder: Recorder, code: int
) -> None:
    machine = Client(MAC, Stage.FIRMWARE, arch=code)
    house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian"))
    assert told(config, registry, recorder, machine) is None
    house.nodes.set("n1", Wanted(options={"bootfile-name": "their.efi"}))
    assert told(config, registry, recorder, machine) == BootFile("their.efi", US, ownfile.REASON)
    recorder.close()
    (line,) = [event.text for event in house.watch.latest() if event.kind == "boot.none"]
    assert f"(architecture {code})" in line and "bootfile-name" in line
