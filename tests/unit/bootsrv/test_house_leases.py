"""Durable leases: what happens to them when the clock was set, or the machine was off, between two runs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.cli.main import cli
from bootsrv.config import Config
from bootsrv.errors import Conflict, NotFound
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.leases import Leases
from bootsrv.registry.moment import Moment, now, read
from bootsrv.registry.registry import Registry
from pxe.dhcp.leases import NEVER
from pxe.dhcp.ports import Lease

MAC = "52:54:00:00:00:01"
ADDRESS = IPv4Address("10.77.0.100")
T0 = Moment("boot-1", 1000.0, 1_700_000_000.0)
YEARS = 30 * 365 * 86400.0


def left(registry: Registry, at: Moment) -> float:
    """Seconds a lease of an hour, given at T0, still has for a service that starts at `at`."""
    Leases(registry._db, lambda: T0).commit([Lease(ADDRESS, MAC, None, T0.wall + 3600)])
    (lease,) = Leases(registry._db, lambda: at).load()
    return lease.expires - at.wall


@pytest.mark.parametrize("jump", [0.0, YEARS, -YEARS, 7200.0])
def test_a_restarted_service_knows_how_much_time_really_passed(registry: Registry, jump: float) -> None:
    assert left(registry, Moment("boot-1", 1600.0, T0.wall + 600 + jump)) == 3000.0


@pytest.mark.parametrize("jump", [60.0, YEARS, -YEARS])
def test_a_restarted_machine_lets_nobody_lose_a_lease(registry: Registry, jump: float) -> None:
    assert left(registry, Moment("boot-2", 5.0, T0.wall + jump)) == 3600.0


def test_a_second_start_moves_nothing_twice(registry: Registry) -> None:
    at = Moment("boot-2", 5.0, T0.wall + YEARS)
    left(registry, at)
    (lease,) = Leases(registry._db, lambda: replace(at, even=65.0, wall=at.wall + 60)).load()
    assert lease.expires == at.wall + 3600


def test_for_ever_is_for_ever(registry: Registry) -> None:
    Leases(registry._db, lambda: T0).commit([Lease(ADDRESS, MAC, None, NEVER)])
    (lease,) = Leases(registry._db, lambda: Moment("boot-2", 5.0, 100.0)).load()
    assert lease.expires == NEVER


def test_this_moment_can_be_kept() -> None:
    here = now()
    assert read(here.text()) == here


class TestVerbs:
    @pytest.fixture(autouse=True)
    def given(self, registry: Registry, clock: Any) -> None:
        end = clock.now + 60
        registry.leases.commit(
            [
                Lease(ADDRESS, MAC, b"\1x", end, "n1"),
                Lease(ADDRESS + 1, "52:54:00:00:00:02", None, clock.now - 1),
                Lease(ADDRESS + 2, "", None, end, "", "declined"),
            ]
        )

    def test_list_shows_what_is_held(self, house: Appliance) -> None:
        assert [lease.address for lease in house.leases.list()] == [ADDRESS, ADDRESS + 2]
        assert len(house.leases.list(everything=True)) == 3

    def test_a_release_reaches_the_service_and_the_journal(self, house: Appliance) -> None:
        assert house.leases.release(str(ADDRESS)).state == "released"
        assert list(house.registry.leases.taken_back()) == [ADDRESS]
        assert [lease.address for lease in house.leases.list()] == [ADDRESS + 2]
        assert house.watch.latest()[-1].kind == "dhcp.released"
        house.leases.release(ADDRESS + 2)  # the rest after a conflict

    def test_what_nobody_holds_cannot_be_released(self, house: Appliance) -> None:
        with pytest.raises(NotFound):
            house.leases.release("10.77.0.150")
        with pytest.raises(Conflict):
            house.leases.release(ADDRESS + 1)

    def test_command_line(self, house: Appliance, config: Config) -> None:
        config.path.write_text(
            f'data_dir = "{config.data_dir}"\n[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "proxy"\n'
        )

        def say(*words: str) -> str:
            done = CliRunner().invoke(cli, ["--config", str(config.path), "lease", *words])
            assert done.exit_code == 0, (done.output, done.exception)
            return done.stdout

        rows = json.loads(say("list", "--json", "--all"))
        assert rows[0] == {
            "address": str(ADDRESS), "mac": MAC, "client_id": "0178", "state": "bound",
            "expires": 1_700_000_060.0, "hostname": "n1",
        }  # fmt: skip
        assert MAC in say("list", "--all")


def test_a_lease_does_not_wait_for_the_flight_recorder(registry: Registry) -> None:
    """The recorder has much to write; what a client waits for goes in between."""
    ends, commits = time.monotonic() + 1.5, 0
    recorder = Recorder(registry, Peers(registry))
    recorder.start()
    slowest = 0.0
    while time.monotonic() < ends:
        for _ in range(200):
            recorder.record(MAC, "dhcp.discover", "looks for a server")
        began = time.monotonic()
        registry.leases.commit([Lease(ADDRESS + commits % 100, MAC, None, 2e9)])
        slowest = max(slowest, time.monotonic() - began)
        commits += 1
    recorder.close()
    assert commits > 20 and slowest < 1.0
