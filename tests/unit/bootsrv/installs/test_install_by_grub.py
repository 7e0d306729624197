"""A machine that starts GRUB from the network, as Secure Boot wants it, is installed all the same: it keeps
its boot file, and its GRUB is led to its own script, once it is due."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from install_house import MACS, House

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.dhcpview import HouseBoots
from bootsrv.handover import Handover
from bootsrv.knownnodes import KnownNodes
from bootsrv.model import NodeState
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from pxe.dhcp.ports import Client, Stage

SHIM = {"bootfile-name": "debian/bootnetx64.efi"}
URL = "'(http,10.77.0.1:8080)/boot/52-54-00-00-00-01/grub.cfg?server=10.77.0.1"


@pytest.fixture
def made(house: Appliance, config: Config, clock: Any, tmp_path: Path) -> House:
    found = House(house, config, clock, tmp_path)
    house.nodes.set("n1", Wanted(options=SHIM))
    return found


def told(made: House, config: Config) -> str:
    registry = made.house.registry
    recorder = Recorder(registry, Peers(registry, made.arp, made.clock), made.clock)
    boots = HouseBoots(config, KnownNodes(registry), recorder)
    found = boots.decide(Client(MACS[0], Stage.FIRMWARE, arch=7), IPv4Address("10.77.0.1"))
    assert found is not None
    return found.filename


def asked(
    made: House, config: Config, name: str = "debian/grub/grub.cfg", peer: str = "10.77.0.11"
) -> str | None:
    peers = Peers(made.house.registry, made.arp, made.clock)
    handover = Handover(config, made.house.registry, peers, lambda: [IPv4Interface("10.77.0.1/24")])
    found = handover.find(name, peer)
    return found.decode() if isinstance(found, bytes) else None


def test_grub_is_led_to_its_script_while_an_installation_is_due(made: House, config: Config) -> None:
    assert asked(made, config) is None, "the administrator's own file"
    made.house.installs.install([made.node()])
    assert told(made, config) == "debian/bootnetx64.efi"
    text = asked(made, config)
    assert text is not None and text.startswith(f"configfile {URL}'\n")
    assert asked(made, config, "autoexec.ipxe") is None
    assert asked(made, config, peer="10.77.0.12") is None, "another machine's address"


def test_another_boot_file_waits_until_it_is_installed(made: House, config: Config) -> None:
    made.house.nodes.set("n1", Wanted(options={"bootfile-name": "pxelinux.0"}))
    made.house.installs.install([made.node()])
    assert told(made, config) == "snponly.efi" and asked(made, config) is None


def test_the_script_is_the_same_boot_in_grubs_words(made: House) -> None:
    made.house.installs.install([made.node()])
    lines = made.script(file="grub.cfg").splitlines()
    tree = "(http,10.77.0.1:8080)/tree/debian13/debian-installer/amd64"
    assert lines[1].startswith(f"linux '{tree}/linux' auto=true priority=critical url=http://10.77.0.1:8080/install/")
    assert lines[2] == f"initrd '{tree}/initrd.gz'"
    assert lines[-1] == f"configfile {URL}&retry=1'"
    token = made.token("\n".join(lines))
    assert made.ask(token, "preseed.cfg").status == 200
    assert made.node().armed is not None and made.node().state is NodeState.IMAGING


def test_where_nothing_is_due_grub_is_left(made: House) -> None:
    assert made.script(file="grub.cfg").splitlines()[-1] == "exit"
