"""From what differs and what is staged to the steps of the switch, in their order. Python 3.8, standard
library only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Dict, List

from images.agent.update.compare import Difference
from images.agent.update.folders import Folders
from images.agent.update.journal import Step, look
from images.agent.update.order import place
from images.agent.update.stage import Stage, Staged
from images.manifest import Entry, order, parse_entry


def moves(stage: Stage, found: Difference, staged: Sequence[Staged]) -> List[Step]:
    """Those that change names: all but the last."""
    puts = sorted(staged, key=lambda one: place(one.path, one.type))
    gone = sorted(found.gone, key=order, reverse=True)
    made = [Step("put", one.path, one.folder, one.name, one.inode) for one in puts]
    made += [Step("take", path, stage.place_for(path), b"gone-%07d" % n) for n, path in enumerate(gone)]
    return made


def adjustments(
    tree: Folders, found: Difference, moved: Sequence[Step], wanted: Mapping[bytes, bytes]
) -> Iterator[Step]:
    """The steps after them, one at a time, as they are written down. `wanted`: manifest line of each
    directory that the version has.
    """
    for entry in found.attributes:
        if entry.type != "dir":
            yield _attr(tree, entry)
    new = {step.path for step in moved if step.kind == "put"}
    touched = _touched(moved) | {entry.path for entry in found.attributes if entry.type == "dir"}
    yield from _folders(tree, touched, new, wanted)


def _attr(tree: Folders, entry: Entry) -> Step:
    return Step("attr", entry.path, old=look(tree, entry.path, entry.type), new=entry)


def _touched(made: Iterable[Step]) -> set[bytes]:
    """Directories whose times the switch will change, and new ones, whose content comes after them."""
    return {step.path.rpartition(b"/")[0] for step in made if step.path}


def _folders(
    tree: Folders, touched: Iterable[bytes], new: set[bytes], wanted: Mapping[bytes, bytes]
) -> List[Step]:
    """Directories get their attributes last, the deepest first, so that no time is changed again."""
    made: Dict[bytes, Step] = {}
    for path in touched:
        if path not in wanted:
            if not _mounted(tree, path):  # it goes or stays; a return gives its times back
                made[path] = Step("attr", path, old=look(tree, path, "dir"))
            continue
        entry = parse_entry(wanted[path])
        if path in new:  # nothing to return to: it goes away as a whole
            made[path] = Step("attr", path, new=entry)
        elif not _mounted(tree, path):
            made[path] = _attr(tree, entry)
    return [made[path] for path in sorted(made, key=order, reverse=True)]


def _mounted(tree: Folders, path: bytes) -> bool:
    """Something else is mounted there: its attributes are its own."""
    here = tree.stat(path)
    above = tree.stat(path.rpartition(b"/")[0]) if path else None
    return here is None or (above is not None and above.st_dev != here.st_dev)
