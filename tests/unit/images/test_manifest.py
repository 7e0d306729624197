"""The manifest's text: what is written reads back the same, and anything else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.errors import BadInput
from images.manifest import (
    Chunk,
    Entry,
    Header,
    order,
    parse_entry,
    read_entries,
    read_header,
    safe,
    write_entry,
    write_header,
)

ROOT = Entry(b"", "dir", mode=0o755)
ID = bytes(range(32))

names = st.binary(min_size=1, max_size=20).filter(
    lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..")
)
paths = st.lists(names, min_size=1, max_size=5).map(b"/".join)
xattrs = st.dictionaries(
    st.sampled_from(["user.a", "security.capability", "trusted.\udcff"]), st.binary(max_size=40)
)
common: dict[str, Any] = {
    "mode": st.integers(0, 0o7777), "uid": st.integers(0, 2**32 - 1), "gid": st.integers(0, 2**32 - 1),
    "user": st.text("abc_\udcfe", max_size=5), "mtime_ns": st.integers(-(2**63), 2**63), "xattrs": xattrs,
}  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> Entry:
    chunks = tuple(
        Chunk(digest, length)
        for digest, length in draw(
            st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 99)), max_size=4)
        )
    )
    total = sum(chunk.length for chunk in chunks)
    extents: list[tuple[int, int]] | None = None
    size = total
    if draw(st.booleans()):
        extents, place, left = [], 0, total
        while left:
            place += draw(st.integers(0, 50))
            length = draw(st.integers(1, left))
            extents.append((place, length))
            place, left = place + length, left - length
        size = place + draw(st.integers(0, 50))
    made = draw(st.fixed_dictionaries(common))
    return Entry(
        draw(paths),
        "file",
        size=size,
        chunks=chunks,
        extents=None if extents is None else tuple(extents),
        **made,
    )


def some(kinds: list[str], **fields: Any) -> st.SearchStrategy[Entry]:
    rows = st.fixed_dictionaries({"path": paths, "type": st.sampled_from(kinds), **fields})
    return rows.map(lambda row: Entry(**row))


targets = st.binary(min_size=1).filter(lambda raw: b"\0" not in raw)
numbers = st.tuples(st.integers(0, 4095), st.integers(0, 2**20))
others = st.one_of(
    some(["dir", "fifo", "socket"], **common),
    some(["symlink"], target=targets, **common),
    some(["char", "block"], rdev=numbers, **common),
    some(["hardlink"], target=paths),
)


@given(st.one_of(files(), others))
def test_entry_there_and_back(entry: Entry) -> None:
    line = write_entry(entry)
    assert line == json.dumps(json.loads(line), separators=(",", ":")).encode("ascii") + b"\n"
    assert line.isascii() and line.count(b"\n") == 1
    assert parse_entry(line) == entry


def test_header_there_and_back() -> None:
    header = Header(
        "debian", 3, 1.5, "a comment \N{SNOWMAN}", "0" * 64, "tree", 5, 6, {"kernel_args": "quiet"}
    )
    assert read_header(write_header(header)) == header


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_bad_input(data: bytes) -> None:
    for read in (parse_entry, read_header):
        try:
            read(data)
        except BadInput:
            pass


@given(files(), st.data())
def test_a_damaged_line_is_an_entry_or_bad_input(entry: Entry, data: st.DataObject) -> None:
    line = bytearray(write_entry(entry))
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        list(read_entries([write_entry(ROOT), bytes(line)]))
    except BadInput:
        pass


def lines(*entries: Entry) -> list[bytes]:
    return [write_entry(entry) for entry in entries]


@pytest.mark.parametrize(
    "bad",
    [
        [],
        lines(Entry(b"a", "dir")),  # no root
        lines(Entry(b"", "file")),
        lines(ROOT, Entry(b"a", "dir"), Entry(b"a", "dir")),
        lines(ROOT, Entry(b"b", "dir"), Entry(b"a", "dir")),
        lines(ROOT, Entry(b"a-b", "dir"), Entry(b"a", "dir"), Entry(b"a/c", "dir")),  # not depth first
        lines(ROOT, Entry(b"a/b", "dir")),  # no parent
        lines(ROOT, Entry(b"a", "symlink", target=b"/etc"), Entry(b"a/passwd", "fifo")),  # through a link
        lines(ROOT, Entry(b"a", "file"), Entry(b"a/b", "fifo")),
        lines(ROOT, Entry(b"a", "dir"), Entry(b"b", "dir"), Entry(b"a/b", "fifo")),
        lines(ROOT, Entry(b"a", "hardlink", target=b"b"), Entry(b"b", "file")),  # forward
        lines(ROOT, Entry(b"a", "hardlink", target=b"a")),
    ],
)
def test_trees_that_are_none(bad: list[bytes]) -> None:
    with pytest.raises(BadInput):
        list(read_entries(bad))


@pytest.mark.parametrize(
    "path", ["/etc", "..", "a/..", "../a", "a/../b", ".", "a/./b", "a//b", "a/", "a\0b", "x" * 256]
)
def test_paths_that_leave(path: str) -> None:
    assert not safe(path.encode())
    row = {"path": path, "type": "fifo"}
    with pytest.raises(BadInput):
        parse_entry(json.dumps(row).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"type": "door"}, {"mode": -1}, {"mode": 1.5}, {"mode": True}, {"mode": "0644"}, {"flags": 1},
        {"mode": 0o10000}, {"uid": 2**32}, {"mtime": 2**94}, {"rdev": [1, 2**32]}, {"mtime": "x"},
        {"size": 11},
        {"chunks": [["00", 10]]}, {"chunks": [["00" * 32, 0]]}, {"chunks": [["00" * 32, -10]]}, {"chunks": 5},
        {"extents": [[0, 5], [4, 5]]}, {"extents": [[0, 11]]}, {"extents": [[8, 10]]}, {"extents": []},
        {"xattrs": {"user.a": "***"}}, {"xattrs": []}, {"path": "\ud800"}, {"path": None},
    ],
)  # fmt: skip
def test_entries_that_are_none(change: dict[str, Any]) -> None:
    row = {"path": "a", "type": "file", "mode": 420, "size": 10, "chunks": [[ID.hex(), 10]]}
    parse_entry(json.dumps(row).encode())
    with pytest.raises(BadInput):
        parse_entry(json.dumps({**row, **change}).encode())


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"hash": "md5"}, {"more": 1}, {"name": 5}, {"meta": []}, {"number": "1"}]
)
def test_headers_that_are_none(change: dict[str, Any]) -> None:
    row = json.loads(write_header(Header("a", 1, 0.0)))
    with pytest.raises(BadInput):
        read_header(json.dumps({**row, **change}).encode())


@given(st.lists(paths, unique=True))
def test_order_is_depth_first(some: list[bytes]) -> None:
    """Everything below a directory follows it without a gap."""
    ordered = sorted(some, key=order)
    for place, path in enumerate(ordered):
        inside = [other.startswith(path + b"/") for other in ordered[place + 1 :]]
        assert inside == sorted(inside, reverse=True)
