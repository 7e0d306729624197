"""What must be made, kept outside of memory: as often and in as many places at once as it is asked for."""

from __future__ import annotations

from pathlib import Path

from images.agent.update.fresh import Fresh
from images.manifest import Chunk, Entry, write_entry


def entries() -> list[Entry]:
    chunks = tuple(Chunk(bytes([number]) * 32, 10 + number) for number in range(3))
    return [
        Entry(b"a", "file", size=33, chunks=chunks),
        Entry(b"b\n\"\\", "symlink", target=b"nowhere"),
        Entry(b"c", "hardlink", target=b"a"),
        Entry(b"d" * 200 + b"\xff", "dir", mode=0o755),
    ]


def filled(folder: Path) -> Fresh:
    fresh = Fresh(folder)
    for number, entry in enumerate(entries()):
        fresh.add(write_entry(entry).rstrip(b"\n"), entry, number % 2 == 0)
    return fresh


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    fresh = filled(tmp_path)
    assert len(fresh) == 4 and list(fresh) == entries() == list(fresh)
    assert list(fresh.paths()) == [entry.path for entry in entries()]
    assert [each.path for each in fresh.links()] == [b"c"]
    assert list(fresh.sizes()) == [33, 0, 0, 0] and list(fresh.kinds()) == [True, False, True, False]
    one, two = iter(fresh), iter(fresh)
    assert [next(one), next(two), next(one), next(two)] == [each for each in entries()[:2] for _ in "xy"]
    assert list(tmp_path.iterdir()) == [], "the scratch file has no name"
    fresh.close()
    assert len(fresh) == 0 and list(fresh) == []


def test_what_is_slow_comes_last_with_the_links_to_it(tmp_path: Path) -> None:
    fresh = filled(tmp_path)
    fresh.put_last({b"a"})
    first, second, *last = list(fresh.paths())
    assert [first[:1], second[:1]] == [b"b", b"d"] and last == [b"a", b"c"]
    assert list(fresh.sizes()) == [0, 0, 33, 0] and list(fresh.kinds()) == [False, False, True, True]


def test_of_nothing_there_is_no_file(tmp_path: Path) -> None:
    fresh = Fresh(tmp_path / "is not there")
    assert list(fresh) == [] and list(fresh.links()) == []
    fresh.put_last({b"a"})
    fresh.close()
