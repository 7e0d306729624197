"""A small house for tests of the web room: a real appliance on a scratch registry, a stand-in image store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import load
from bootsrv.model import Node, NodeState
from images.errors import ImageNotFound
from images.manifest import Entry
from images.versions import Version

MAC = "52:54:00:00:00:01"
PASSWORD = "correct horse battery"
CONFIG = """
data_dir = "{data}"
interfaces = ["lo"]
domain = "cluster.test"
[[subnets]]
cidr = "10.77.0.0/24"
mode = "authoritative"
pools = ["10.77.0.100-10.77.0.199"]
routers = ["10.77.0.1"]
"""
FACTS = {
    "disks": [
        {
            "path": "/dev/vda",
            "size": 8 << 30,
            "model": "VirtIO disk",
            "serial": "VD-0815",
            "transport": "virtio",
        },
        {"path": "/dev/sda", "size": 2 << 40, "model": "WDC WD20", "serial": "", "transport": "sata"},
    ],
    "interfaces": [
        {"name": "eth0", "mac": "52:54:00:00:00:01", "driver": "virtio_net", "speed": 10000, "link": True}
    ],
    "memory": 16 << 30,
    "cpu": {"model": "AMD EPYC 7302", "count": 16, "arch": "x86_64"},
    "dmi": {
        "vendor": "Dell Inc.",
        "product": "PowerEdge R6515",
        "serial": "7XK2P",
        "uuid": "4c4c",
        "bios_version": "2.1",
    },
    "firmware": "uefi",
    "imager": "0.1.0",
}


class Shelf:
    """Stands in for the image store: versions and references, nothing stored."""

    def __init__(self, *versions: Version) -> None:
        self.all = list(versions)

    def versions(self, name: str | None = None) -> list[Version]:
        return [version for version in self.all if name in (None, version.name)]

    def names(self) -> list[str]:
        return sorted({version.name for version in self.all})

    def lost(self) -> list[str]:
        return []

    def manifest(self, id: str) -> SimpleNamespace:
        paths = (b"boot/vmlinuz-6.1", b"usr/lib/modules/6.1/modules.builtin")
        return SimpleNamespace(entries=lambda: (Entry(path, "file") for path in paths))

    def resolve(self, ref: str) -> Version:
        name, _, which = ref.partition("@")
        for version in sorted(self.versions(name), key=lambda version: -version.number):
            if which in ("", str(version.number), *version.tags):
                return version
        raise ImageNotFound(f"there is no image {ref!r}")


def shelf() -> Shelf:
    def version(name: str, number: int, size: int, **more: object) -> Version:
        return Version(
            name, number, f"{number:064x}", "tree", 1_790_000_000.0 + number * 86_400, bytes=size, **more
        )  # type: ignore[arg-type]

    return Shelf(
        version("debian", 1, 917 << 20, stored_bytes=313 << 20, comment="Debian 12, first build"),
        version(
            "debian", 2, 931 << 20, stored_bytes=320 << 20, comment="with security updates", tags=("stable",)
        ),
        version("compute", 7, 2_300 << 20, stored_bytes=801 << 20, comment="MPI, Slurm client"),
    )


@dataclass
class House:
    """An appliance and shortcuts to bring machines into a state."""

    appliance: Appliance
    config_file: Path

    def seen(self, mac: str, firmware: str = "uefi", facts: dict[str, object] | None = None) -> Node:
        """An unknown machine on the list."""
        at = self.appliance.nodes._clock()
        node = Node(
            0,
            None,
            (mac,),
            NodeState.DISCOVERED,
            firmware=firmware,
            facts=facts or {},
            created=at,
            last_seen=at,
        )
        return self.appliance.registry.nodes.save(node)

    def tell(self, node: Node, kind: str, text: str, ago: float = 0.0, **data: object) -> int:
        """An event of this machine, `ago` seconds old."""
        at = self.appliance.nodes._clock() - ago
        return self.appliance.registry.events.add(at, kind, text, node.macs[0], node.id, data)


def build(folder: Path) -> House:
    file = folder / "bootsrv.toml"
    file.write_text(CONFIG.format(data=folder / "data"))
    appliance = Appliance.open(load(file))
    stand_in = shelf()
    appliance.images.store = lambda: stand_in  # type: ignore[method-assign,assignment,return-value]
    appliance.users.set_password("admin", PASSWORD)
    return House(appliance, file)


def add(
    house: House,
    name: str,
    state: NodeState = NodeState.REGISTERED,
    image: str | None = "debian",
    **changes: object,
) -> Node:
    """A registered node in any state; MAC and address count up."""
    number = len(house.appliance.nodes.list()) + 11
    wanted = Wanted(
        name=name, macs=[f"52:54:00:00:01:{number:02x}"], address=f"10.77.0.{number}", image=image
    )
    node = house.appliance.nodes.add(wanted, arm=False)
    return put(house, node, state=state, **changes)


def put(house: House, node: Node, **changes: object) -> Node:
    """The same node in another state."""
    return house.appliance.registry.nodes.save(replace(node, **changes))  # type: ignore[arg-type]
