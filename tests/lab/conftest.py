"""One lab for all tests that boot real firmware: two machines, switched on at the start, in the order of the
tests taken through their lives. What they said is kept in build/log/lab when the tests are over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from labhouse import Cluster

from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store

RECIPES = {"debian": "debian-12-vm", "debian-b": "debian-12-vm-b"}
KEPT = Path(__file__).parents[2] / "build" / "log" / "lab"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    store = seeded_store(RECIPES, print)
    with Lab() as lab:
        plant(store, lab.service.data)
        try:
            lab.service.start()
            made = Cluster(lab)
            made.uefi.on()
            made.bios.on()
            yield made
        finally:
            keep(lab)


def keep(lab: Lab) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for path in (lab.service.log, *(machine.console.path for machine in lab.machines)):
        if path.exists():
            name = path.name if path == lab.service.log else f"{path.parent.name}-{path.name}"
            shutil.copyfile(path, KEPT / name)
