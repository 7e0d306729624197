"""Brings a tree in: look at the medium, copy it, compare it with its own checksums, then let it appear
whole."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable
from pathlib import Path

from bootsrv.errors import Conflict, Invalid
from bootsrv.trees import netboot
from bootsrv.trees import record as records
from bootsrv.trees.listed import FILES, INDEX
from bootsrv.trees.media import Iso, Source, open_source
from bootsrv.trees.place import appearing
from bootsrv.trees.record import TreeRecord
from bootsrv.trees.shelf import RECORD, Shelf
from bootsrv.trees.writer import TreeWriter
from images.progress import Progress, silent
from pxe.trees import sums, treeinfo
from pxe.trees.detect import detect
from pxe.trees.facts import TreeFacts
from pxe.trees.sums import Sum

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
ISO = "medium.iso"
_SMALL = re.compile(r"\.disk/|md5sum\.txt\Z|[^/]*SUMS\Z|\.treeinfo\Z")


def import_tree(
    shelf: Shelf,
    source: str,
    name: str,
    replace: bool = False,
    progress: Progress = silent,
    clock: Callable[[], float] = time.time,
) -> TreeRecord:
    """Make `source` (an ISO, a directory, or a name such as `debian-12`) the tree `name`.

    Raises Invalid when it is no installer that is known or is damaged, Conflict when the name is taken,
    BootsrvError, BadInput, OSError.
    """
    check_name(name, "tree name")
    if name in shelf.names() and not replace:
        raise Conflict(f"there is a tree {name!r} already; add --replace, or `bootsrv tree remove {name}`")
    packaged = None if "/" in source or Path(source).exists() else netboot.known(source)
    if packaged is not None:
        progress(0, None, f"fetching {packaged.package}")
        with netboot.fetched(packaged) as (medium, words):
            return _bring(shelf, medium, name, words, progress, clock)
    path = Path(source)
    return _bring(shelf, open_source(path), name, str(path.absolute()), progress, clock)


def check_name(name: str, what: str) -> None:
    """Raises Invalid with the rule."""
    if not _NAME.match(name):
        raise Invalid(f"{what} {name!r}: use 1-63 of a-z 0-9 . _ - and start with a letter or digit")


def _bring(
    shelf: Shelf, medium: Source, name: str, words: str, progress: Progress, clock: Callable[[], float]
) -> TreeRecord:
    facts = detect(medium)
    if facts is None:
        raise Invalid(
            f"{words} is no installation medium that is known: no .treeinfo with a kernel, and none of the "
            "layouts of Debian, Ubuntu, Red Hat, Fedora, SUSE, CoreOS, Arch or Alpine"
        )
    total, done = medium.size, 0

    def count(piece: int) -> None:
        nonlocal done
        done += piece
        progress(done, total, name)

    with appearing(shelf.root, name) as new:
        (new / FILES).mkdir(mode=0o755)
        writer = TreeWriter(new / FILES, _expected(medium), count)
        medium.pour(writer, _wanted(facts))
        iso = _whole(medium, facts, writer)
        index = writer.finish()
        _complain(writer, words)
        missing = [one for one in (facts.kernel, *facts.initrds) if index.find(one) is None]
        if missing:
            raise Invalid(f"{words}: {', '.join(missing)} could not be read from it")
        made = TreeRecord(
            name,
            facts,
            words,
            clock(),
            len(index.files),
            index.bytes,
            writer.checked,
            iso,
            _notes(facts, writer),
        )
        index.save(new / INDEX)
        records.save(made, new / RECORD)
    return made


def _wanted(facts: TreeFacts) -> Callable[[str], bool]:
    """Of a medium that the installer fetches whole, only what boots is unpacked."""
    if not facts.medium:
        return lambda name: True
    boot = {facts.kernel, *facts.initrds}
    return lambda name: name in boot or _SMALL.match(name) is not None


def _whole(medium: Source, facts: TreeFacts, writer: TreeWriter) -> str:
    if not facts.medium or not isinstance(medium, Iso):
        return ""
    with medium.path.open("rb") as file:
        writer.file(ISO, file)
    return ISO


def _expected(medium: Source) -> dict[str, Sum]:
    """What the medium says of its own files; a stronger hash wins over a weaker one."""
    strength = {"md5": 0, "sha1": 1, "sha256": 2, "sha384": 3, "sha512": 4}
    found: dict[str, Sum] = {}
    told = [
        one
        for name in sums.lists(medium.names)
        for one in sums.parse(medium.text(name), posixpath.dirname(name))
    ]
    info = treeinfo.find(medium)
    for one in (*told, *(info.sums if info is not None else ())):
        known = found.get(one.name)
        if one.kind in strength and (known is None or strength[known.kind] < strength[one.kind]):
            found[one.name] = one
    return found


def _complain(writer: TreeWriter, words: str) -> None:
    if writer.wrong:
        some = ", ".join(writer.wrong[:3])
        more = f" and {len(writer.wrong) - 3} more" if len(writer.wrong) > 3 else ""
        raise Invalid(f"{words} is damaged: {some}{more} differ from the checksums on it; get it again")


def _notes(facts: TreeFacts, writer: TreeWriter) -> tuple[str, ...]:
    notes = [facts.note] if facts.note else []
    if writer.left_out:
        some = ", ".join(sorted(writer.left_out)[:3])
        notes.append(
            f"{len(writer.left_out)} links that lead out of the tree, or devices, were left out: {some}"
        )
    if facts.medium and ISO not in writer.index.files:
        notes.append("this installer fetches the whole ISO: import the ISO file, not a directory")
    return tuple(notes)
