"""The lease journal: what any accident to its bytes costs, and that no history of accidents costs an ACK."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from bootsrv.leasebook import frame, keeper
from bootsrv.leasebook.behind import Behind
from bootsrv.leasebook.journal import Journal
from bootsrv.leasebook.keeper import Keeper
from bootsrv.registry.moment import Moment
from bootsrv.registry.registry import Registry
from pxe.dhcp import wire
from pxe.dhcp.outcome import Outcome
from pxe.dhcp.ports import Lease
from pxe.dhcp.wire import Packet

sys.path.insert(0, str(Path(__file__).parents[1] / "pxe/dhcp"))
from dhcp_house import START, House, Net
from test_dhcp_leases import Machines

MAC = "52:54:00:00:00:01"
AT = Moment("boot-1", 1000.0, START)
leases = st.builds(
    Lease,
    st.ip_addresses(v=4),
    st.binary(max_size=16).map(lambda data: data.hex(":")),
    st.none() | st.binary(max_size=300),
    st.floats(0, 1e12),
    st.from_regex(r"[a-z0-9.-]{0,40}", fullmatch=True),
    st.sampled_from(["bound", "declined", "released"]),
)
batches = st.lists(st.lists(leases, max_size=4), min_size=1, max_size=5)


def lease(number: int, expires: float = START + 3600, mac: str = MAC, state: str = "bound") -> Lease:
    return Lease(IPv4Address("10.77.0.0") + number, mac, None, expires, "", state)


def newest(found: Iterable[Sequence[Lease]]) -> dict[int, Lease]:
    return {int(one.address): one for batch in found for one in batch}


class TestFrames:
    @given(batches)
    def test_what_is_written_is_read(self, found: list[list[Lease]]) -> None:
        data = b"".join(frame.write(AT, batch) for batch in found)
        content = frame.read(data)
        assert (content.leases, content.moment) == (newest(found), AT)
        assert (content.end, content.torn, content.damaged) == (len(data), False, False)

    @given(batches, st.data())
    def test_a_cut_costs_what_was_cut(self, found: list[list[Lease]], choose: st.DataObject) -> None:
        frames = [frame.write(AT, batch) for batch in found]
        data = b"".join(frames)
        cut = choose.draw(st.integers(0, len(data)))
        content = frame.read(data[:cut])
        whole = 0
        while sum(map(len, frames[: whole + 1])) <= cut and whole < len(frames):
            whole += 1
        assert content.leases == newest(found[:whole])
        assert (content.end, content.damaged) == (sum(map(len, frames[:whole])), False)

    @given(batches, st.data())
    def test_a_flipped_bit_costs_its_frame(self, found: list[list[Lease]], choose: st.DataObject) -> None:
        frames = [frame.write(AT, batch) for batch in found]
        data = bytearray(b"".join(frames))
        bit = choose.draw(st.integers(0, len(data) * 8 - 1))
        data[bit // 8] ^= 1 << bit % 8
        hit = next(n for n in range(len(frames)) if bit // 8 < sum(map(len, frames[: n + 1])))
        content = frame.read(bytes(data))
        assert content.leases == newest(batch for n, batch in enumerate(found) if n != hit)
        assert content.damaged == (hit < len(frames) - 1)

    @given(st.binary(max_size=400))
    def test_garbage_is_no_lease(self, data: bytes) -> None:
        assert frame.read(data).leases == {}


class TestAppend:
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Journal:
        made = Journal(tmp_path / "journal")
        made.open(0)
        return made

    @pytest.mark.parametrize("fails", ["pwrite", "fdatasync"])
    def test_what_fails_leaves_no_trace(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch, fails: str
    ) -> None:
        first, second = frame.write(AT, [lease(1)]), frame.write(AT, [lease(2)])
        journal.append(first)

        def broken(fd: int, *rest: Any) -> int:
            if fails == "pwrite":
                real(fd, rest[0][:7], rest[1])
            raise OSError(28, "No space left on device")

        real = os.pwrite
        monkeypatch.setattr(os, fails, broken)
        with pytest.raises(OSError, match="No space"):
            journal.append(second)
        monkeypatch.undo()
        assert journal.path.read_bytes() == first
        journal.append(second)
        assert journal.path.read_bytes() == first + second


class TestKeeper:
    """With the real registry."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "leases.journal"

    def run(self, path: Path, registry: Registry, *batch: Lease, at: Moment = AT) -> dict[int, Lease]:
        """A service that starts, stores a batch and ends: what it found."""
        kept = Keeper(path, registry, lambda: at)
        found = {int(one.address): one for one in kept.load()}
        if batch:
            kept.commit(batch)
        kept.close()
        return found

    def test_the_table_follows(self, path: Path, registry: Registry) -> None:
        self.run(path, registry, lease(1), lease(2))
        assert list(registry.leases.every()) == [lease(1), lease(2)]

    def test_leases_of_a_service_without_a_journal_are_taken_over(
        self, path: Path, registry: Registry
    ) -> None:
        registry.leases.commit([lease(1, time.time() + 60)])
        assert [*self.run(path, registry)] == [int(lease(1).address)]
        assert int(lease(1).address) in frame.read(path.read_bytes()).leases

    def test_an_empty_registry_is_filled_from_the_journal(
        self, path: Path, registry: Registry, tmp_path: Path
    ) -> None:
        self.run(path, registry, lease(1), lease(2))
        other = Registry.open(tmp_path / "new.db")
        assert self.run(path, other) == newest([[lease(1), lease(2)]])
        assert list(other.leases.every()) == [lease(1), lease(2)]
        other.close()

    def test_a_damaged_journal_is_kept_told_and_made_anew(self, path: Path, registry: Registry) -> None:
        self.run(path, registry, lease(1))
        self.run(path, registry, lease(2))
        self.run(path, registry, lease(3))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        assert self.run(path, registry) == newest([[lease(1), lease(2), lease(3)]])
        content = frame.read(path.read_bytes())
        assert (len(content.leases), content.torn, content.damaged) == (3, False, False)
        (aside,) = path.parent.glob("leases.journal.damaged-*")
        assert aside.read_bytes() == bytes(data)
        (event,) = [event for event in registry.events.latest() if event.kind == "alarm.leases"]
        assert str(aside) in event.text

    def test_what_a_torn_end_lost_the_table_has(self, path: Path, registry: Registry) -> None:
        self.run(path, registry, lease(1))
        self.run(path, registry, lease(1, START + 7200))
        path.write_bytes(path.read_bytes()[:-3])
        (found,) = self.run(path, registry).values()
        assert found.expires == START + 7200

    def test_the_clock_was_set_meanwhile(self, path: Path, registry: Registry) -> None:
        self.run(path, registry, lease(1))
        for _ in range(2):  # the second time nothing moves again
            later = Moment("boot-1", 1600.0, START + 600 + 1e9)
            (found,) = self.run(path, registry, at=later).values()
            assert found.expires - later.wall == 3000
            assert [one.expires for one in registry.leases.every()] == [found.expires]

    def test_it_shrinks_and_loses_nothing(
        self, path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keeper, "GROWN", 20_000)
        kept = Keeper(path, registry, lambda: AT)
        list(kept.load())
        for turn in range(1200):
            kept.commit([lease(number, START + turn) for number in range(turn % 7, 30)])
        deadline = time.monotonic() + 30
        while path.stat().st_size > 200_000 and time.monotonic() < deadline:
            kept.commit([lease(99, START)])
            time.sleep(0.01)
        kept.close()
        assert path.stat().st_size <= 200_000  # of more than a megabyte
        assert frame.read(path.read_bytes()).leases == kept._book
        assert list(registry.leases.every()) == [kept._book[number] for number in sorted(kept._book)]

    def test_released_by_hand_wins_over_what_is_on_its_way(self, path: Path, registry: Registry) -> None:
        kept = Keeper(path, registry, lambda: AT)
        list(kept.load())
        kept.commit([lease(1)])
        kept._behind.close()  # the table is up to date, and from now on behind
        registry.leases.take_back(lease(1).address, START)
        kept.commit([lease(1, START + 9000)])  # a renewal crosses it
        while kept._behind._write_some():
            pass
        assert list(kept.taken_back()) == [lease(1).address]
        kept.commit([replace(lease(1), state="released")])
        kept.commit([lease(1, mac="52:54:00:00:00:02")])  # somebody else has it at once
        assert list(kept.taken_back()) == []  # and may keep it
        while kept._behind._write_some():
            pass
        (found,) = registry.leases.every()
        assert (found.mac, found.state) == ("52:54:00:00:00:02", "bound")
        assert list(kept.taken_back()) == []
        kept.close()

    def test_a_registry_that_cannot_be_written_stops_no_lease(
        self, path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(registry.leases, "follow", full)
        monkeypatch.setattr("bootsrv.leasebook.behind.RETRY_SECONDS", 0.01)
        kept = Keeper(path, registry, lambda: AT)
        list(kept.load())
        kept.commit([lease(1)])
        monkeypatch.undo()
        kept.close()
        assert frame.read(path.read_bytes()).leases == newest([[lease(1)]])


class Table:
    """The registry's lease table, in memory."""

    def __init__(self) -> None:
        self.rows: dict[int, Lease] = {}
        self.leases = self.events = self

    def load(self) -> list[Lease]:
        return list(self.rows.values())

    def follow(self, batch: Sequence[Lease], ended: Collection[int]) -> None:
        self.rows.update({int(one.address): one for one in batch})

    def add(self, *_: object) -> None:
        pass


class Kept(House):
    """Leases in a real journal, in a house that is killed now and then."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        super().__init__()
        self.table, self.path = Table(), folder / "journal"
        self.now = now
        self.wake()

    def wake(self) -> None:
        at = lambda: Moment("boot", self.now(), self.now())  # noqa: E731
        self.keeper = Keeper(self.path, self.table, at)  # type: ignore[arg-type]
        self.kept = {one.address: one for one in self.keeper.load()}

    def commit(self, batch: Sequence[Lease]) -> None:
        if batch:
            if self.full:
                raise OSError(28, "No space left on device")
            self.keeper.commit(batch)
        self.kept.update({one.address: one for one in batch})


class FlakyNet(Net):
    """As the server does when leases cannot be stored: undo, and say nothing."""

    def handle(self, packet: Packet, **arrival: Any) -> Outcome:
        parsed = wire.parse(wire.build(packet, 1400))
        out = self.responder.handle(parsed, replace(self.arrival, **arrival), self.now)
        try:
            self.house.commit([change.lease for change in out.changes])
        except OSError:
            for change in reversed(out.changes):
                self.responder.table.undo(change)
            return Outcome(replies=[reply for reply in out.replies if reply.change is None])
        return out


class JournalledMachines(Machines):
    """The random histories of the lease table, with a journal under them: killed with half a frame at its
    end, the disk full for a while, the table behind by anything."""

    house: Kept

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="leasebook-")
        super().__init__()

    def boot(self) -> Net:
        if not isinstance(self.house, Kept):
            self.house = Kept(Path(self.folder.name), lambda: self.net.now if hasattr(self, "net") else START)
        return FlakyNet(self.house, pools=["10.77.0.100-10.77.0.104"])

    @rule(torn=st.binary(max_size=30), some=st.integers(0, 60))
    def the_server_is_killed(self, torn: bytes, some: int) -> None:
        half = frame.write(AT, [lease(100, START + 1e6, "52:54:00:00:00:ff")])[:some]
        self.house.keeper._journal.close()
        with self.house.path.open("ab") as file:
            file.write(half + torn)
        self.house.full = False
        self.house.wake()
        now = self.net.now
        self.net = self.boot()
        self.net.now = now

    @rule()
    def the_table_catches_up(self) -> None:
        self.house.keeper._behind._write_some()

    @rule(full=st.booleans())
    def the_disk_fills_or_empties(self, full: bool) -> None:
        self.house.full = full

    def teardown(self) -> None:
        self.house.keeper._journal.close()
        self.folder.cleanup()


@pytest.fixture(autouse=True)
def nothing_behind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In random histories the table is brought up to date by a rule, not by a thread."""
    if request.cls is TestRandomHistories:
        monkeypatch.setattr(Behind, "start", lambda _self: None)


JournalledMachines.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRandomHistories = JournalledMachines.TestCase
