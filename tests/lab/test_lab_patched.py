"""Real guests get a version that the store keeps as patches of its parent: a disk is written with it, a
running machine becomes it and the next one, and guests without a disk run from it.

The tests are one story and run in this order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest
from diskless_farm import Farm
from kept import keep
from labhouse import Cluster

from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store
from bootsrv.model import NodeState
from images.locator import PATCH, Locator
from images.store import ImageStore

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(2400)]
NAMES = {"debian@1": "GNU coreutils", "debian@2": "GNU CoreUtils", "debian@3": "GNU corEutils"}
ADDRESS = "10.77.0.11"


def edit(old: str, new: str) -> str:
    """A command that changes some bytes of each program of coreutils; they stay programs."""
    return (
        f"find /usr/bin -type f -exec grep -q '{old}' {{}} \\;"
        f" -exec env LC_ALL=C sed -i 's/{old}/{new}/g' {{}} +"
    )


class House:
    """The lab, and its store."""

    def __init__(self, lab: Lab) -> None:
        self.cluster = Cluster(lab)
        self.farm = Farm(lab)
        self.service = lab.service
        config = load(lab.service.config)
        self.store = ImageStore.open(config.store_dir, create=False, keys=lab.service.data / "keys")

    def sums(self, ref: str) -> dict[str, str]:
        """Path and sha256 of every program of that version of which a part is in a patch."""
        source, found = self.store.source(ref), {}
        for entry in self.store.manifest(ref).entries():
            if entry.name.startswith("/usr/bin/") and entry.type == "file":
                frames = [source.locator.frame(source.locator.find(chunk.id).frame) for chunk in entry.chunks]
                if any(frame.codec == PATCH for frame in frames):
                    data = b"".join(source.stream(chunk.id for chunk in entry.chunks))
                    found[entry.name] = hashlib.sha256(data).hexdigest()
        return found

    def is_what_it_should(self, address: str, ref: str, patched: int) -> None:
        """The machine's programs are those of the version, to the last bit, `patched` of them at least from
        patches; and they run."""

        def ask(command: str) -> str:
            return self.service.ssh.run(address, command, timeout=180).strip()

        assert NAMES[ref] in ask("ls --version"), "the program itself says what it is"
        wanted = self.sums(ref)
        assert len(wanted) >= patched
        said = ask(f"sha256sum {' '.join(wanted or ['/etc/hostname'])}")
        lines = {path: digest for digest, path in map(str.split, said.splitlines())}
        assert not wanted or lines == wanted
        assert ask("systemctl --failed --no-legend") == ""

    def copies(self, ref: str) -> list[str]:
        """The packs that nodes get instead of patches."""
        home = self.service.data / "plain" / self.store.resolve(ref).id
        made = [Locator.parse(path.read_bytes()) for path in home.glob("*.locator")]
        assert all(not one.patched for one in made)
        own = {path.stem for path in home.glob("*.pack")}
        return sorted(own & {pack for one in made for pack in one.packs})


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    store = seeded_store({"debian": "debian-12-vm"}, print)
    with Lab() as lab:
        plant(store, lab.service.data)
        try:
            lab.service.start()
            made = House(lab)
            for old, new in (("debian@1", "debian@2"), ("debian@2", "debian@3")):
                change = edit(NAMES[old], NAMES[new])
                lab.service.outside("image", "edit", old, "--", "sh", "-c", change)
            yield made
        finally:
            keep(lab, "patched-")


def test_the_store_holds_patches(house: House) -> None:
    assert not house.store.source("debian@1").locator.patched
    for ref in ("debian@2", "debian@3"):
        assert len(house.sums(ref)) > 80, "else the tests after this one show nothing"
    assert not list(house.store.verify())


def test_a_disk_is_written_with_it(house: House) -> None:
    machine = house.cluster.uefi
    machine.on()
    house.cluster.wait(machine, lambda node: bool(node and node.facts), 300, "showed up")
    house.service.cli(
        "node", "adopt", machine.spec.mac, "--name", "n1", "--image", "debian@2", "--address", ADDRESS,
        "--method", "static",
    )  # fmt: skip
    assert house.cluster.wait_state(machine, NodeState.RUNNING, 1200).running == "debian@2"
    house.is_what_it_should(ADDRESS, "debian@2", 80)
    assert house.copies("debian@2"), "it came from the copies"


def push(house: House, ref: str, *more: str) -> dict[str, object]:
    said = house.service.cli("push", "n1", "--image", ref, *more, "--json", timeout=1200)
    return dict(json.loads(said)["done"]["n1"])


def test_a_running_machine_becomes_it(house: House) -> None:
    assert push(house, "debian@1")["drift"] == 0
    house.is_what_it_should(ADDRESS, "debian@1", 0)
    done = push(house, "debian@2", "--no-patches")
    assert done["drift"] == 0 and done["fetched"]
    house.is_what_it_should(ADDRESS, "debian@2", 80)


def test_where_there_are_no_copies_the_machine_resolves_patches_itself(house: House) -> None:
    third = house.service.data / "plain" / house.store.resolve("debian@3").id
    third.write_bytes(b"in the way")
    done = push(house, "debian@3", "--no-patches")
    assert done["drift"] == 0 and done["fetched"]
    house.is_what_it_should(ADDRESS, "debian@3", 80)
    assert third.is_file()


@pytest.mark.parametrize("root", ["nbd", "nfs"])
def test_a_machine_without_a_disk_runs_from_it(house: House, root: str) -> None:
    house.cluster.uefi.cut()
    guest = house.farm.add(Firmware.BIOS, root, image="debian@3", memory=768)
    since = house.farm.now()
    guest.machine.on()
    try:
        house.farm.home(guest, since, 600)
        assert house.farm.node(guest).running == "debian@3"
        house.is_what_it_should(guest.address, "debian@3", 80)
    finally:
        guest.machine.cut()
        house.service.cli("node", "remove", guest.name)
