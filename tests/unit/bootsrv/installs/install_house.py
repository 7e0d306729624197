"""A house in which a machine can be installed: a Debian tree, a profile, a site, and what the wire knows."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.model import Event, Node
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.site import HouseSite
from pxe.dhcp.ports import Lease
from pxe.http.ports import Denied, NodeRequest, Reply, Wait

MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
PROFILE = """
target = "debian13"
timezone = "Europe/Prague"
[[users]]
name = "ada"
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA ada"]
"""
KICKSTART = PROFILE.replace("debian13", "rhel9") + '[source]\nurl = "http://10.77.0.1:8080/tree/rhel9/"\n'


def debian_tree(place: Path, release: int = 13) -> Path:
    """What Debian's netboot package has, without its bytes."""
    images = place / "debian-installer" / "amd64"
    images.mkdir(parents=True)
    (images / "linux").write_bytes(b"kernel")
    (images / "initrd.gz").write_bytes(b"initrd")
    (place / "version.info").write_text(f"Debian version:  {release} (name)\nInstaller build: 2025\n")
    return place


class House:
    """n1 and n2 are registered with the profile `web`; `house` has the verbs."""

    def __init__(self, house: Appliance, config: Config, clock: Any, tmp_path: Path) -> None:
        self.house, self.clock, self.arp = house, clock, config.data_dir / "arp"
        for path in (config.payload_dir / "imager/vmlinuz", config.run_dir / "initrd.img"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        house.trees.import_(str(debian_tree(tmp_path / "medium")), "debian13")
        house.profiles.save("web", PROFILE, "test")
        for number, mac in enumerate(MACS, 1):
            house.nodes.add(
                Wanted(name=f"n{number}", macs=[mac], address=f"10.77.0.{10 + number}", profile="web")
            )
        self.arp.write_text("IP address HW type Flags HW address Mask Device\n")
        peers = Peers(house.registry, self.arp, clock)
        self.site = HouseSite(config, house.registry, house.nodes._images, catalogue(config), peers, clock)
        for number, mac in enumerate(MACS, 1):
            self.lease(f"10.77.0.{10 + number}", mac)

    def lease(self, address: str, mac: str) -> None:
        ends = self.clock.now + 36_000
        self.house.registry.leases.commit([Lease(IPv4Address(address), mac, None, ends)])

    def node(self, name: str = "n1") -> Node:
        return self.house.nodes.show(name)

    def script(self, number: int = 1, retry: bool = False, file: str = "script.ipxe") -> str:
        """The boot script that a machine gets."""
        query = {"server": "10.77.0.1", **({"retry": "1"} if retry else {})}
        answer = self.site.boot_script(MACS[number - 1], query, f"10.77.0.{10 + number}", "", 60.0, file)
        assert isinstance(answer, str)
        return answer

    def token(self, script: str) -> str:
        found = re.search(r"/install/([A-Za-z0-9_-]+)/", script)
        assert found is not None, script
        return found[1]

    def ask(self, token: str, name: str, peer: str = "10.77.0.11", method: str = "GET",
            body: bytes = b"", **query: str) -> Reply:  # fmt: skip
        """One request, sent whole."""
        answer = self.site.install(token, name, NodeRequest(method, name, query, {}, body, peer, None, 60.0))
        assert not isinstance(answer, Wait | Denied)
        if answer.status == 200 and method == "GET":
            self.site.install_sent(token, name)
        return answer

    def events(self, name: str = "n1", kind: str = "") -> list[Event]:
        return [one for one in self.house.watch.latest(500, self.node(name)) if one.kind.startswith(kind)]
