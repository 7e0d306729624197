"""Entries on their way into a manifest: they come in any order, are replaced and removed, and leave sorted.

Archives name things more than once, link to what came before, and (container layers) take things away again.
As in a file system, a name points to a record and a hard link is a second name of the same record: whatever
happens to one name, the other keeps its content. Records wait in a file; per name only a key and an offset
are kept, so 200,000 entries cost about 30 MB.

Law: what comes out obeys manifest.py: sorted, each parent a directory, the first name of a file carries it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from images.errors import BadInput
from images.manifest import Entry, line_start, order, parse_entry, safe, write_entry

_HELD = 1 << 18  # bytes of lines that wait for being written together
_LINKS = 40  # as the kernel: more symlinks on one way are a loop


class Spool:
    """The growing tree. Single-threaded."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, prefix="spool.", suffix=".tmp")  # noqa: SIM115
        self._names: dict[bytes, int] = {}  # order key -> offset of its record
        self._dirs: set[bytes] = set()
        self._symlinks: dict[bytes, bytes] = {}
        self._shared: set[int] = set()  # records that came to have another name
        self._end = 0
        self._waiting: list[bytes] = []  # the last lines, not in the file yet
        self._written = 0  # bytes in the file
        self._at = 0  # where the file stands: neighbours need no seek

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def add(self, entry: Entry, through_links: bool = False) -> int:
        """Put an entry (no hard link) at its path; what was there goes, but a directory keeps its content.
        The answer is its record, for `get` and `amend`.

        `through_links`: a parent that is a symlink leads to where it points inside the tree, as unpacking an
        archive does (a layer that adds lib/x where lib is a link to usr/lib). Raises BadInput for unsafe
        paths.
        """
        if not safe(entry.path):
            raise BadInput(f"{entry.name}: this path would leave the tree")
        if through_links:
            entry = entry._replace(path=self.resolve_parent(entry.path))
        self._replace(entry.path, keep_content=entry.type == "dir")
        key = order(entry.path)
        record = self._names[key] = self._append(entry)
        if entry.type == "dir":
            self._dirs.add(key)
        elif entry.type == "symlink":
            self._symlinks[key] = entry.target
        return record

    def add_line(self, path: bytes, type: str, target: bytes, line: bytes) -> None:
        """The same as `add` for a safe path, by the entry's line and the fields that count here."""
        key = order(path)
        if key in self._names:
            self._replace(path, keep_content=type == "dir")
        self._names[key] = self._write(line)
        if type == "dir":
            self._dirs.add(key)
        elif type == "symlink":
            self._symlinks[key] = target

    def link(self, path: bytes, target: bytes, through_links: bool = False) -> None:
        """Make `path` another name of what `target` is now. Raises BadInput when there is no such file."""
        if not safe(path) or not safe(target):
            raise BadInput(f"hard link {path!r}: this path would leave the tree")
        if through_links:
            path, target = self.resolve_parent(path), self.resolve_parent(target)
        old, key = order(target), order(path)
        record = self._names.get(old)
        if record is None or old in self._dirs:
            raise BadInput(f"hard link {path!r}: its target {target!r} did not come before it")
        if old == key:
            return
        self._replace(path, keep_content=False)
        self._names[key] = record
        self._shared.add(record)
        if old in self._symlinks:
            self._symlinks[key] = self._symlinks[old]

    def remove(self, path: bytes) -> None:
        """Take away a name and all below it; a name that is not there is fine."""
        key = order(path)
        self._forget(key)
        self.empty(path)

    def empty(self, path: bytes, keep: Collection[bytes] = ()) -> None:
        """Take away all below a directory but the paths in `keep` and the directories that lead to them."""
        prefix = order(path) + b"\0" if path else b""
        kept = {order(one) for one in keep}
        for key in list(kept):
            while key:
                key = key.rpartition(b"\0")[0]
                kept.add(key)
        for name in [n for n in self._names if n and n.startswith(prefix) and n not in kept]:
            self._forget(name)

    def has(self, path: bytes) -> bool:
        """Whether the tree has that name now, be it only by what lies below it."""
        key = order(path)
        return key in self._names or any(name.startswith(key + b"\0") for name in self._names)

    def record(self, path: bytes) -> int | None:
        """What the name points to, links followed, for `get` and `amend`; None: there is no such name."""
        return self._names.get(order(self.resolve_parent(path + b"/x")[:-2]))

    def get(self, record: int) -> Entry:
        """The entry as it was added."""
        return parse_entry(self._line(record))

    def named(self) -> set[int]:
        """The records that a name points to now."""
        return set(self._names.values())

    def amend(self, entries: Iterable[tuple[int, Entry]]) -> None:
        """Give records another content, for all their names."""
        places: dict[int, int] = {}
        for record, entry in entries:
            places[record] = self._append(entry)
            if record in self._shared:
                self._shared.add(places[record])
        self._names = {key: places.get(record, record) for key, record in self._names.items()}

    def resolve_parent(self, path: bytes) -> bytes:
        """The path with every parent that is a symlink replaced by where it leads. Raises BadInput for
        loops.
        """
        if not self._symlinks:
            return path
        todo = path.split(b"/")[::-1]
        done: list[bytes] = []
        followed = 0
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                done = done[:-1]  # above the root is the root, as in chroot
                continue
            target = self._symlinks.get(b"\0".join([*done, part])) if todo else None
            if target is None:
                done.append(part)
                continue
            followed += 1
            if followed > _LINKS:
                raise BadInput(f"{path!r}: its directories are a loop of links")
            if target.startswith(b"/"):
                done = []
            todo.extend(target.split(b"/")[::-1])
        return b"/".join(done)

    def entries(self) -> Iterator[Entry]:
        """All entries in manifest order. Parents that never came are made: root-owned, mode 755, as old as
        the newest of what is directly in them (so that the same archive makes the same tree, at any time).
        """
        return (parse_entry(line) for line in self.lines())

    def lines(self) -> Iterator[bytes]:
        """The same as lines of a manifest; most are as they were spooled, which saves parsing them again."""
        self._fill_parents()
        first: dict[int, bytes] = {}  # shared record -> its first name
        for key in sorted(self._names):
            record = self._names[key]
            if record not in self._shared:
                yield self._line(record)
                continue
            path = key.replace(b"\0", b"/")
            if record in first:
                yield write_entry(Entry(path, "hardlink", target=first[record]))
                continue
            first[record] = path
            line = self._line(record)
            own = line.startswith(line_start(path))
            yield line if own else write_entry(parse_entry(line)._replace(path=path))

    def _append(self, entry: Entry) -> int:
        return self._write(write_entry(entry))

    def _write(self, line: bytes) -> int:
        record = self._end
        self._end += len(line)
        self._waiting.append(line)
        if self._end - self._written > _HELD:
            self._flush()
        return record

    def _flush(self) -> None:
        if self._at != self._written:
            self._file.seek(self._written)
        self._file.write(b"".join(self._waiting))
        self._at = self._written = self._end
        self._waiting = []

    def _line(self, record: int) -> bytes:
        if self._waiting:
            self._flush()
        if self._at != record:
            self._file.seek(record)
        line = self._file.readline()
        self._at = record + len(line)
        return line

    def _fill_parents(self) -> None:
        missing: set[bytes] = set()
        for parent in {key.rpartition(b"\0")[0] for key in self._names} | {b""}:
            while parent not in self._dirs and parent not in missing:
                missing.add(parent)
                parent = parent.rpartition(b"\0")[0]
        if not missing:
            return
        newest = dict.fromkeys(missing, 0)
        for key, record in self._names.items():
            parent = key.rpartition(b"\0")[0]
            if key and parent in newest:
                newest[parent] = max(newest[parent], self.get(record).mtime_ns)
        for key in sorted(missing, reverse=True):  # what is below comes first
            path = key.replace(b"\0", b"/")
            if key in self._names:
                raise BadInput(f"{Entry(path, 'dir').name} is no directory but has content")
            parent = key.rpartition(b"\0")[0]
            if key and parent in newest:
                newest[parent] = max(newest[parent], newest[key])
            self.add(Entry(path, "dir", mode=0o755, mtime_ns=newest[key]))

    def _replace(self, path: bytes, keep_content: bool) -> None:
        key = order(path)
        if key in self._dirs and not keep_content:
            self.empty(path)
        if key in self._names:
            self._forget(key)

    def _forget(self, key: bytes) -> None:
        self._names.pop(key, None)
        self._dirs.discard(key)
        self._symlinks.pop(key, None)
