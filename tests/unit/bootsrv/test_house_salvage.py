"""A damaged registry: found, set aside, made anew; nodes are not lost silently."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bootsrv import groundwork
from bootsrv.config import Config
from bootsrv.model import AddressMethod, Node, NodeState
from bootsrv.privilege import Identity
from bootsrv.registry.registry import Registry
from bootsrv.registry.salvage import damage, good_copy, look_after
from pxe.dhcp.ports import Lease

NODES = 400


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A registry with nodes and leases, closed."""
    path = tmp_path / "registry.db"
    registry = Registry.open(path)
    with registry.transaction():
        for n in range(NODES):
            mac = f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}"
            address = IPv4Address("10.77.0.1") + n
            registry.nodes.save(
                Node(0, f"n{n}", (mac,), NodeState.REGISTERED, address, AddressMethod.RESERVED,
                     facts={"filler": "x" * 300})
            )  # fmt: skip
            registry.leases.commit([Lease(IPv4Address("10.78.0.0") + n, mac, None, 2e9)])
    registry.close()
    return path


def counts(path: Path) -> tuple[int, int]:
    registry = Registry.open(path)
    try:
        return len(list(registry.nodes.list())), len(list(registry.leases.load()))
    finally:
        registry.close()


def hole(path: Path, start: int, size: int = 4096) -> None:
    with path.open("r+b") as raw:
        raw.seek(start)
        raw.write(random.Random(start).randbytes(size))


def beheaded(path: Path) -> None:
    hole(path, 0)


def cut_off(path: Path) -> None:
    with path.open("r+b") as raw:
        raw.truncate(path.stat().st_size // 2)


def holed(path: Path) -> None:
    """In what was written after the tables were made: without their description nothing can be read."""
    empty = path.with_name("empty.db")
    Registry.open(empty).close()
    for page in range(empty.stat().st_size // 4096, path.stat().st_size // 4096, 12):
        hole(path, page * 4096)


def test_a_sound_file_is_copied_and_left_alone(file: Path) -> None:
    before = file.read_bytes()
    assert look_after(file) is None
    assert file.read_bytes() == before and counts(good_copy(file)) == (NODES, NODES)


@pytest.mark.parametrize("break_it", [beheaded, cut_off, holed])
def test_with_a_good_copy_nothing_is_lost(file: Path, break_it: Callable[[Path], None]) -> None:
    look_after(file)
    break_it(file)
    assert damage(file) is not None
    done = look_after(file)
    assert done is not None and done.aside.exists() and str(done.aside) in str(done)
    assert counts(file) == (NODES, NODES)
    assert damage(file) is None and look_after(file) is None


def test_without_a_copy_what_can_be_read_is_kept_and_the_rest_is_named(file: Path) -> None:
    holed(file)
    done = look_after(file)
    assert done is not None
    nodes, leases = counts(file)
    assert NODES * 0.5 < nodes < NODES and leases > 0
    assert done.rows["nodes"] == nodes and "nodes" in done.incomplete and f"{nodes} nodes" in str(done)


def test_a_newer_row_wins_over_the_copy(file: Path) -> None:
    look_after(file)
    registry = Registry.open(file)
    address = IPv4Address("10.79.0.1")
    registry.leases.commit([Lease(address, "52:54:00:00:ff:ff", None, 2e9)])
    registry.close()
    with closing(sqlite3.connect(file)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name='nodes'").fetchone()
    hole(file, (root - 1) * 4096)
    done = look_after(file)
    assert done is not None and "nodes" in done.incomplete and "leases" not in done.incomplete
    assert counts(file) == (NODES, NODES + 1)
    registry = Registry.open(file)
    assert address in {lease.address for lease in registry.leases.load()}
    registry.close()


def test_no_file_is_no_damage(tmp_path: Path) -> None:
    assert look_after(tmp_path / "registry.db") is None


def test_the_service_says_so_when_it_starts(file: Path, config: Config) -> None:
    assert config.registry_file == file
    identity = Identity(None, False)
    groundwork.prepare(config, identity)
    beheaded(file)
    groundwork.prepare(config, identity)
    registry = Registry.open(file)
    (event,) = [event for event in registry.events.latest() if event.kind == "alarm.registry"]
    assert f"{NODES} nodes" in event.text and "damaged-" in event.text
    registry.close()
