"""What is kept is kept: durable, unique, whole or not at all, shared between processes."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bootsrv.discovery import note_sighting
from bootsrv.errors import Conflict
from bootsrv.model import (
    AddressMethod,
    Armed,
    BootMode,
    GroupBoot,
    Node,
    NodeState,
    Root,
    Rooted,
    RootKind,
)
from bootsrv.registry.registry import Registry
from bootsrv.registry.schema import STEPS
from pxe.dhcp.ports import Lease

NODE = Node(
    id=0,
    name="n1",
    macs=("52:54:00:00:00:02", "52:54:00:00:00:01"),
    state=NodeState.ARMED,
    address=IPv4Address("10.77.0.11"),
    method=AddressMethod.STATIC,
    image="debian@stable",
    mode=BootMode.DISCOVER,
    armed=Armed("debian@3", 12.5, True, 2),
    groups=("gpu", "rack3"),
    options={"ntp-servers": ["10.77.0.1"], "interface-mtu": 9000},
    disk="serial:X",
    facts={"cpu": {"count": 8}},
    firmware="uefi",
    running="debian@2",
    error="über",
    created=1.0,
    last_seen=2.0,
)


class TestNodes:
    def test_everything_comes_back(self, registry: Registry) -> None:
        stored = registry.nodes.save(NODE)
        assert stored == replace(NODE, id=stored.id)
        assert registry.nodes.by_mac("52:54:00:00:00:01") == stored
        assert registry.nodes.by_name("N1") == stored
        assert registry.nodes.by_address(IPv4Address("10.77.0.11")) == stored

    def test_an_update_replaces_lists(self, registry: Registry) -> None:
        stored = registry.nodes.save(NODE)
        changed = registry.nodes.save(
            replace(stored, macs=("52:54:00:00:00:01",), groups=(), armed=None, address=None)
        )
        assert registry.nodes.get(stored.id) == changed
        assert registry.nodes.by_mac("52:54:00:00:00:02") is None
        assert registry.nodes.groups() == []

    def test_whoever_has_a_root_from_here_is_among_the_perhaps_diskless(self, registry: Registry) -> None:
        rooted = Rooted("debian@3", Root(RootKind.NBD), 5.0)
        registry.nodes.set_group_boot("farm", GroupBoot(mode=BootMode.DISKLESS))
        kinds: dict[str, dict[str, Any]] = {
            "local": {}, "other": {"groups": ("rack3",)}, "own": {"mode": BootMode.DISKLESS},
            "group": {"groups": ("farm", "rack3")}, "before": {"rooted": rooted},
        }  # fmt: skip
        ids = set()
        for name, what in kinds.items():
            plain = replace(NODE, name=name, macs=(), address=None, mode=None, groups=(), armed=None)
            ids.add(registry.nodes.save(replace(plain, **what)).id)
        found = {node.name for node in registry.nodes.perhaps_diskless()}
        assert found == {"own", "group", "before"}
        needed = [n for n in registry.nodes.list() if n.rooted or n.boots is BootMode.DISKLESS]
        assert {node.name for node in needed} == found and registry.nodes.ids() == ids

    def test_the_perhaps_diskless_are_found_without_a_look_at_the_others(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        db, asked = registry._db, []
        everything = db.all
        monkeypatch.setattr(db, "all", lambda sql, values=(): asked.append(sql) or everything(sql, values))
        registry.nodes.perhaps_diskless()
        plan = [row["detail"] for row in everything(f"EXPLAIN QUERY PLAN {asked[0]}")]
        whole = [step for step in plan if step.startswith("SCAN") and "USING INDEX" not in step]
        assert len(asked) == 1 and plan and not [step for step in whole if "nodes" in step], plan

    def test_what_a_machine_was_seen_as_changes_nothing_for_dhcp(self, registry: Registry) -> None:
        registry.nodes.save(NODE)
        before = registry.nodes.hosts_revision()
        seen = note_sighting(registry, NODE.macs[0], 9.0, 0)
        assert (seen.firmware, seen.last_seen) == ("bios", 9.0) and registry.nodes.get(seen.id) == seen
        assert registry.nodes.hosts_revision() == before

    def test_no_two_nodes_share_anything(self, registry: Registry) -> None:
        registry.nodes.save(NODE)
        for other in (
            replace(NODE, macs=(), address=None),
            replace(NODE, name="n2", address=None),
            replace(NODE, name="n2", macs=()),
        ):
            with pytest.raises(sqlite3.IntegrityError):
                registry.nodes.save(other)
        assert len(registry.nodes.list()) == 1

    def test_removal_takes_macs_along(self, registry: Registry) -> None:
        registry.nodes.remove(registry.nodes.save(NODE).id)
        assert registry.nodes.by_mac(NODE.macs[0]) is None
        registry.nodes.save(NODE)

    def test_filters(self, registry: Registry) -> None:
        registry.nodes.save(NODE)
        registry.nodes.save(Node(id=0, name=None, macs=("52:54:00:00:00:09",), state=NodeState.DISCOVERED))
        assert [n.name for n in registry.nodes.list((NodeState.ARMED,))] == ["n1"]
        assert [n.name for n in registry.nodes.list(group="gpu")] == ["n1"]
        assert registry.nodes.list(group="x") == []
        assert registry.nodes.count() == {"armed": 1, "discovered": 1}


class TestUnknown:
    def test_there_is_room_for_the_newest_only(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bootsrv.discovery.MAX_UNKNOWN", 3)
        registry.nodes.save(NODE)
        for number in range(6):
            note_sighting(registry, f"52:54:00:00:01:0{number}", float(number))
        assert [node.macs[0][-1] for node in registry.nodes.list((NodeState.DISCOVERED,))] == ["3", "4", "5"]
        assert registry.nodes.by_name("n1") is not None


class TestTransactions:
    def test_an_error_takes_all_back(self, registry: Registry) -> None:
        with pytest.raises(RuntimeError), registry.transaction():
            registry.nodes.save(NODE)
            with registry.transaction():
                registry.settings.set("a", "b")
            raise RuntimeError
        assert registry.nodes.list() == []
        assert registry.settings.get("a") is None

    def test_another_process_sees_and_notices_a_commit(self, registry: Registry, tmp_path: Path) -> None:
        other = Registry.open(tmp_path / "registry.db")
        before = other.changes()
        assert other.changes() == before
        registry.nodes.save(NODE)
        assert other.changes() != before
        assert other.nodes.by_name("n1") is not None
        other.close()

    def test_many_writers(self, registry: Registry) -> None:
        def write(number: int) -> None:
            for place in range(20):
                registry.events.add(1.0, "x.y", f"{number}.{place}", f"52:54:00:00:00:0{number}", None)
            registry.close()

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(registry.events.since(0)) == 80

    def test_an_older_file_becomes_a_newer_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as then:
            then.setattr("bootsrv.registry.schema.STEPS", STEPS[:1])
            old = Registry.open(tmp_path / "old.db")
            old.settings.set("kept", "yes")
            for place, state in enumerate(("imaging", "running")):
                row = (f"n{place}", state, "dynamic", "local", "{}", "{}", 1.0)
                old._db.run(
                    "INSERT INTO nodes (name, state, method, mode, options, facts, created)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            old.close()
        new = Registry.open(tmp_path / "old.db")
        assert new.settings.get("kept") == "yes"
        assert new.leases.names_revision() == 1
        assert [node.half_written for node in new.nodes.list()] == [True, False]
        new.close()

    def test_a_newer_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "new.db"
        Registry.open(path).close()
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA user_version=999")
        raw.close()
        with pytest.raises(Conflict, match="newer bootsrv"):
            Registry.open(path)

    def test_a_file_that_is_none_is_an_oserror(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
        with pytest.raises(OSError, match="registry"):
            Registry.open(tmp_path / "x.db")


class TestLeases:
    def lease(self, mac: str = "52:54:00:00:00:01", state: str = "bound") -> Lease:
        return Lease(IPv4Address("10.77.0.100"), mac, b"\x01x", 100.0, "host", state)

    def test_kept_and_replaced(self, registry: Registry, tmp_path: Path) -> None:
        registry.leases.commit([self.lease()])
        registry.leases.commit([self.lease("52:54:00:00:00:02")])
        other = Registry.open(tmp_path / "registry.db")
        assert list(other.leases.load()) == [self.lease("52:54:00:00:00:02")]
        other.close()

    def test_holder(self, registry: Registry) -> None:
        address = IPv4Address("10.77.0.100")
        registry.leases.commit([self.lease()])
        assert registry.leases.holder(address, 50.0) == "52:54:00:00:00:01"
        assert registry.leases.holder(address, 150.0) is None
        assert registry.leases.of_mac("52:54:00:00:00:01", 50.0) == address
        registry.leases.commit([self.lease(state="released")])
        assert registry.leases.holder(address, 50.0) is None

    def test_durable_before_it_returns(self, registry: Registry) -> None:
        row = registry._db.one("PRAGMA synchronous")
        assert row is not None
        assert row[0] == 2  # FULL


class TestTokens:
    def test_life(self, registry: Registry) -> None:
        text = registry.tokens.issue("boot", "m", 100.0, 10.0, {"url": "u"})
        found = registry.tokens.check(text, 105.0)
        assert found is not None
        assert (found.purpose, found.subject, found.data) == ("boot", "m", {"url": "u"})
        assert registry.tokens.check(text, 110.0) is None
        registry.tokens.extend(text, 200.0)
        assert registry.tokens.check(text, 150.0) is not None
        registry.tokens.revoke("boot", "m")
        assert registry.tokens.check(text, 150.0) is None

    def test_the_file_holds_no_token(self, registry: Registry, tmp_path: Path) -> None:
        text = registry.tokens.issue("boot", "m", 1.0, 10.0)
        registry.close()
        assert all(text.encode() not in path.read_bytes() for path in tmp_path.glob("registry.db*"))

    def test_only_a_few_for_each_machine(self, registry: Registry) -> None:
        texts = [registry.tokens.issue("boot", "m", float(n), 1000.0) for n in range(10)]
        assert [registry.tokens.check(text, 20.0) is not None for text in texts] == [False] * 6 + [True] * 4

    def test_nonsense(self, registry: Registry) -> None:
        assert registry.tokens.check("", 1.0) is None
        assert registry.tokens.check("\udcff", 1.0) is None


class TestUsers:
    def test_passwords(self, registry: Registry) -> None:
        registry.users.set_password("admin", "correct horse", 1.0)
        assert registry.users.check("admin", "correct horse")
        assert not registry.users.check("admin", "wrong")
        assert not registry.users.check("nobody", "correct horse")
        before = registry.users.fingerprint("admin")
        registry.users.set_password("admin", "battery staple", 2.0)
        assert registry.users.fingerprint("admin") != before
        assert not registry.users.check("admin", "correct horse")

    def test_the_secret_is_made_once(self, registry: Registry) -> None:
        secret = registry.settings.secret("session")
        assert len(secret) == 64
        assert registry.settings.secret("session") == secret


class TestEvents:
    def test_progress_keeps_the_first_and_the_newest(self, registry: Registry) -> None:
        for done in range(5):
            registry.events.add(float(done), "deploy.progress", "", "m", 1, {"done": done})
        assert [event.data["done"] for event in registry.events.since(0)] == [0, 4]

    def test_logs_are_bounded(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bootsrv.registry.events.LOG_KEEP", 50)
        for number in range(400):
            registry.events.log(1, "m", 1.0, str(number))
        kept = registry.events.log_of(1)
        assert 50 <= len(kept) < 151
        assert kept[-1][1] == "399"

    def test_what_was_before_the_node_becomes_its_past(self, registry: Registry) -> None:
        registry.events.add(1.0, "dhcp.discover", "", "m", None)
        registry.events.claim("m", 7)
        assert [event.node for event in registry.events.since(0)] == [7]


@pytest.mark.slow
def test_a_hundred_thousand_nodes(registry: Registry) -> None:
    import time

    with registry.transaction():
        for number in range(100_000):
            mac = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, *number.to_bytes(4, "big")))
            registry.nodes.save(
                Node(
                    0,
                    f"n{number}",
                    (mac,),
                    NodeState.RUNNING,
                    IPv4Address(0x0A000000 + number),
                    groups=("g",),
                )
            )
    took = []
    for number in range(0, 100_000, 1000):
        started = time.perf_counter()
        assert registry.nodes.by_name(f"n{number}") is not None
        assert registry.search.addresses(0x0A000000 + number, 0x0A000000 + number)
        took.append(time.perf_counter() - started)
    assert sorted(took)[50] < 0.002
