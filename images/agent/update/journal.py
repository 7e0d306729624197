"""The switch: a list of steps, written down before the first is done, that can be done again or undone.

    put    what waits in the stage and what is at the path change places (or it moves in, where nothing is)
    take   what is at the path moves to the stage
    attr   owner, mode, times, xattrs, `new` forward and `old` back; either may be missing

Every step leaves the old thing in the stage until the update is settled. Law: each can be told done from not
done by looking (a put by the inode that the journal names), so `forward` and `back` may be broken off
anywhere, by anything, and run again. Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from images.agent.update.exchange import exchange, place, sync_filesystem
from images.agent.update.folders import Folders
from images.agent.update.state import write_whole
from images.errors import ImageError
from images.manifest import Entry, parse_entry, to_bytes, to_text, write_entry
from images.tree_reader import xattrs
from images.tree_writer import name_attributes, set_attributes

END = b"end\n"


class Step(NamedTuple):
    """One step. `folder`/`name`: where in the stage; `inode`: of what is put."""

    kind: str
    path: bytes
    folder: bytes = b""
    name: bytes = b""
    inode: int = 0
    old: Optional[Entry] = None
    new: Optional[Entry] = None


class Steps:
    """The steps of a journal on disk, read one at a time, from either end."""

    def __init__(self, path: Path, places: array[int]) -> None:
        self._path, self._places = path, places

    def __iter__(self) -> Iterator[Step]:
        """Without their entries."""
        return self._read(self._places, ())

    def forward(self) -> Iterator[Step]:
        """In order, with what is `new`."""
        return self._read(self._places, ("new",))

    def __reversed__(self) -> Iterator[Step]:
        return self._read(reversed(self._places), ())

    def back(self) -> Iterator[Step]:
        """The last one first, with what was `old`."""
        return self._read(reversed(self._places), ("old",))

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, places: Iterable[int], entries: Sequence[str]) -> Iterator[Step]:
        with self._path.open("rb") as file:
            for place in places:
                file.seek(place)
                yield _step(json.loads(file.readline()), entries)


class Journal(NamedTuple):
    """All steps in order, and what this update is (see run.py)."""

    about: Dict[str, Any]
    steps: Steps


def write(path: Path, about: Dict[str, Any], steps: Iterable[Step]) -> None:
    """On disk when this returns."""
    write_whole(path, _lines(about, steps))


def _lines(about: Dict[str, Any], steps: Iterable[Step]) -> Iterator[bytes]:
    """One at a time: there may be a step for each of a million names."""
    yield json.dumps(about).encode("ascii") + b"\n"
    for step in steps:
        row: Dict[str, Any] = {"kind": step.kind, "path": to_text(step.path)}
        if step.folder:
            row.update(folder=to_text(step.folder), name=to_text(step.name), inode=step.inode)
        for key, entry in (("old", step.old), ("new", step.new)):
            if entry is not None:
                row[key] = _bare(entry)
        yield json.dumps(row).encode("ascii") + b"\n"
    yield END


def read(path: Path) -> Optional[Journal]:
    """The journal; None when there is none. Raises ImageError when it is damaged."""
    about = head(path)
    if about is None:
        return None
    places, place = array("Q"), 0
    with path.open("rb") as file:
        for line in file:
            places.append(place)
            place += len(line)
    return Journal(about, Steps(path, places[1:-1]))  # without the head and the end


def head(path: Path) -> Optional[Dict[str, Any]]:
    """What a journal says about itself, without its steps. Returns and raises as `read`."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        first = file.readline()
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(END) - 1))
        if not file.read().endswith(b"\n" + END):
            raise ImageError(f"{path} is damaged; image this machine anew")
    return dict(json.loads(first))


def _bare(entry: Entry) -> str:
    return write_entry(entry._replace(chunks=(), size=0, extents=None)).decode("ascii")


def _step(row: Dict[str, Any], entries: Sequence[str]) -> Step:
    """`entries`: which of its two are parsed; most passes want one or none."""
    old, new = (
        parse_entry(row[key].encode()) if key in entries and key in row else None for key in ("old", "new")
    )
    folder, name = to_bytes(row.get("folder", "")), to_bytes(row.get("name", ""))
    return Step(row["kind"], to_bytes(row["path"]), folder, name, row.get("inode", 0), old, new)


def look(tree: Folders, path: bytes, type: str) -> Entry:
    """What is at `path` now, as the `old` of an attr step."""
    parent, name = tree.at(path)
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    target = os.readlink(name, dir_fd=parent) if type == "symlink" else b""
    rdev = (os.major(info.st_rdev), os.minor(info.st_rdev)) if type in ("char", "block") else None
    return Entry(
        path, type, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, mtime_ns=info.st_mtime_ns,
        target=target, rdev=rdev, xattrs=xattrs(parent, name),
    )  # fmt: skip


def forward(tree: Folders, journal: Journal) -> None:
    """Does what is not done yet. Raises OSError with the step's path; then the journal is as good as
    before."""
    folders = {b""}
    for step in journal.steps.forward():
        folders.add(step.folder)
        try:
            if step.kind == "put":
                _put(tree, step)
            elif step.kind == "take":
                _take(tree, step)
            elif step.new is not None:
                adjust(tree, step.new)
        except OSError as error:  # it knows a name below an open directory, or a number
            if error.errno is None:
                raise
            raise OSError(error.errno, error.strerror, "/" + os.fsdecode(step.path)) from error
    _sync(tree, folders)


def back(tree: Folders, journal: Journal) -> None:
    """Undoes what is done, last step first; directories get their attributes when all is back."""
    folders = {b""}
    for step in reversed(journal.steps):
        folders.add(step.folder)
        if step.kind == "put":
            _unput(tree, step)
        elif step.kind == "take":
            _untake(tree, step)
    for step in journal.steps.back():
        if step.kind == "attr" and step.old is not None and tree.stat(step.path) is not None:
            adjust(tree, step.old)
    _sync(tree, folders)


def _is_there(tree: Folders, step: Step) -> bool:
    info = tree.stat(step.path)
    return info is not None and info.st_ino == step.inode


def _put(tree: Folders, step: Step) -> None:
    if _is_there(tree, step):
        return
    stage = tree.open(step.folder)
    parent, name = tree.at(step.path)
    try:
        exchange(stage, step.name, parent, name)
    except OSError as error:
        if error.errno != errno.ENOENT or tree.stat(step.path) is not None:
            raise
        place(stage, step.name, parent, name)
    if step.path and _folder(tree, step):
        tree.forget()


def _unput(tree: Folders, step: Step) -> None:
    if not _is_there(tree, step):
        return
    stage = tree.open(step.folder)
    parent, name = tree.at(step.path)
    if tree.stat(step.folder + b"/" + step.name) is None:
        place(parent, name, stage, step.name)
    else:
        exchange(stage, step.name, parent, name)
    tree.forget()


def _folder(tree: Folders, step: Step) -> bool:
    """Whether a directory is on either side: then what is open may be in the wrong place."""
    for path in (step.path, step.folder + b"/" + step.name):
        info = tree.stat(path)
        if info is not None and stat.S_ISDIR(info.st_mode):
            return True
    return False


def _take(tree: Folders, step: Step) -> None:
    info = tree.stat(step.path)
    if info is None:
        return
    if stat.S_ISDIR(info.st_mode):
        if os.listdir(tree.open(step.path)):  # noqa: PTH208 - a descriptor; somebody's files keep it
            return
        tree.forget()
    parent, name = tree.at(step.path)
    place(parent, name, tree.open(step.folder), step.name)


def _untake(tree: Folders, step: Step) -> None:
    if tree.stat(step.folder + b"/" + step.name) is None or tree.stat(step.path) is not None:
        return
    tree.forget()
    parent, name = tree.at(step.path)
    place(tree.open(step.folder), step.name, parent, name)


def adjust(tree: Folders, entry: Entry) -> None:
    """Makes owner, xattrs, mode and times of what is at the path those of the entry, no more and no less."""
    parent, name = tree.at(entry.path)
    where = b"/proc/self/fd/%d/%s" % (parent, name)
    for key in xattrs(parent, name):
        if key not in entry.xattrs and key != "security.selinux":
            os.removexattr(where, key, follow_symlinks=False)
    if entry.type == "dir":
        set_attributes(entry, tree.open(entry.path))
    else:
        name_attributes(entry, name, parent)


def _sync(tree: Folders, folders: Iterable[bytes]) -> None:
    tree.forget()
    for folder in folders:
        if tree.stat(folder) is not None:
            sync_filesystem(tree.open(folder))
