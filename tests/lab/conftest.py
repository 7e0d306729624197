"""One lab for all tests that boot real firmware: two machines, switched on at the start, in the order of the
tests taken through their lives. What they said is kept in build/log/lab when the tests are over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kept import keep
from labhouse import Cluster

from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store

RECIPES = {"debian": "debian-12-vm", "debian-b": "debian-12-vm-b"}


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
