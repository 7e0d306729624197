"""The registry and the boot plan as DHCP sees them, and the flight recorder's pen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.dhcpview import HouseBoots, HouseHosts
from bootsrv.knownnodes import KnownNodes
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry
from pxe.dhcp.ports import Client, Lease, Stage

MAC = "52:54:00:00:00:01"
SERVER = IPv4Address("10.77.0.1")


@pytest.fixture
def recorder(registry: Registry, clock: Any, tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(registry, Peers(registry, tmp_path / "arp", clock), clock)
    made.start()
    yield made
    made.close()


def client(stage: Stage = Stage.FIRMWARE, arch: int | None = 7, http: bool = False) -> Client:
    return Client(MAC, stage, arch=arch, http_boot=http)


class TestHosts:
    def test_unknown_until_registered(self, house: Appliance, registry: Registry) -> None:
        hosts = HouseHosts(KnownNodes(registry))
        assert hosts.find(client()) is None
        house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
        hosts.look()
        host = hosts.find(client())
        assert host is not None
        assert (host.name, host.address) == ("n1", IPv4Address("10.77.0.11"))
        assert hosts.reserved(IPv4Address("10.77.0.11"))
        assert not hosts.reserved(IPv4Address("10.77.0.12"))

    def test_options_of_the_node_win_over_its_groups(self, house: Appliance, registry: Registry) -> None:
        house.groups.set_options("g", {"interface-mtu": 9000, "default-ip-ttl": 9})
        house.nodes.add(Wanted(name="n1", macs=[MAC], groups=["g"], options={"interface-mtu": 1400}))
        host = HouseHosts(KnownNodes(registry)).find(client())
        assert host is not None
        assert (host.address, dict(host.options)) == (None, {"interface-mtu": 1400, "default-ip-ttl": 9})


class TestBoots:
    @pytest.fixture
    def boots(self, config: Config, registry: Registry, recorder: Recorder) -> HouseBoots:
        return HouseBoots(config, KnownNodes(registry), recorder)

    def test_firmware_gets_our_ipxe(self, boots: HouseBoots) -> None:
        for arch, name in ((0, "undionly.kpxe"), (7, "snponly.efi"), (None, "undionly.kpxe")):
            found = boots.decide(client(arch=arch), SERVER)
            assert found is not None
            assert found.filename == name

    def test_http_boot_gets_a_url(self, boots: HouseBoots) -> None:
        found = boots.decide(client(arch=16, http=True), SERVER)
        assert found is not None
        assert found.filename == "http://10.77.0.1:8080/boot/loaders/snponly.efi"

    def test_our_ipxe_gets_its_script(self, boots: HouseBoots) -> None:
        found = boots.decide(client(Stage.IPXE), SERVER)
        assert found is not None
        assert found.filename.startswith(
            "http://10.77.0.1:8080/boot/52-54-00-00-00-01/script.ipxe?server=10.77.0.1"
        )

    def test_systems_and_machines_we_have_nothing_for_get_nothing(self, boots: HouseBoots) -> None:
        assert boots.decide(client(Stage.SYSTEM), SERVER) is None
        assert boots.decide(client(arch=2), SERVER) is None

    def test_a_sighting_puts_it_on_the_list(
        self, boots: HouseBoots, house: Appliance, recorder: Recorder
    ) -> None:
        boots.decide(client(), SERVER)
        recorder.close()
        (node,) = house.nodes.unknown()
        assert (node.macs, node.firmware) == ((MAC,), "uefi")


class TestRecorder:
    def test_finds_whose_address_it_is(
        self, house: Appliance, recorder: Recorder, tmp_path: Path, clock: Any
    ) -> None:
        house.registry.leases.commit([Lease(IPv4Address("10.77.0.100"), MAC, None, clock.now + 60)])
        house.nodes.add(Wanted(name="n2", macs=["52:54:00:00:00:02"], address="10.77.0.12"))
        (tmp_path / "arp").write_text(
            "IP address HW type Flags HW address Mask Device\n"
            "10.77.0.70 0x1 0x2 52:54:00:00:00:03 * br0\n"
            "10.77.0.71 0x1 0x0 00:00:00:00:00:00 * br0\n"
        )
        for address in ("10.77.0.100", "10.77.0.12", "10.77.0.70", "10.77.0.71", "127.0.0.1", "::1"):
            recorder.record_peer(address, "tftp.done", address, {"bytes": 1})
        recorder.close()
        events = {e.text: e for e in house.watch.latest() if e.kind == "tftp.done"}
        assert {text: event.mac for text, event in events.items()} == {
            "10.77.0.100": MAC,
            "10.77.0.12": "52:54:00:00:00:02",
            "10.77.0.70": "52:54:00:00:00:03",
            "10.77.0.71": None,
            "127.0.0.1": None,
            "::1": None,
        }
        assert events["10.77.0.12"].node == house.nodes.show("n2").id

    def test_a_broken_registry_stops_nobody(
        self, registry: Registry, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(registry.events, "add", full)
        recorder.record(MAC, "dhcp.discover", "lost")
        ends = time.monotonic() + 20
        while not recorder.lost:
            assert time.monotonic() < ends
            time.sleep(0.01)
        monkeypatch.undo()
        recorder.record(MAC, "dhcp.offer", "kept")
        recorder.close()
        assert [event.text for event in registry.events.since(0)] == ["kept"]
