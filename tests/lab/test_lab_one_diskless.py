"""One guest without a disk beside the others: its root is a network block device, and it is itself."""

from __future__ import annotations

import pytest
from diskless_farm import Farm
from labhouse import Cluster

from bootsrv.lab.firmware import Firmware
from bootsrv.model import NodeState

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]


def test_it_runs_without_a_disk(cluster: Cluster) -> None:
    farm = Farm(cluster.lab)
    guest = farm.add(Firmware.BIOS, "nbd", image="debian@1", memory=640)
    since = farm.now()
    guest.machine.on()
    try:
        farm.home(guest, since)
        assert farm.node(guest).state is NodeState.RUNNING and farm.node(guest).running == "debian@1"
        assert farm.ask(guest, "hostname -f") == f"{guest.name}.cluster.test"
        assert farm.ask(guest, "findmnt -no FSTYPE /") == "overlay"
        assert farm.ask(guest, "findmnt -no FSTYPE /run/bootsrv/lower") == "erofs"
        assert farm.ask(guest, "dpkg -s coreutils | grep ^Status") == "Status: install ok installed"
        assert farm.ask(guest, "systemctl --failed --no-legend") == ""
        assert farm.room(guest) > 0
    finally:
        guest.machine.cut()
        cluster.lab.service.cli("node", "remove", guest.name)
