"""What two versions differ in, gathered for a person: files, packages, services, kernel.

Reads both manifests once and from the packs only the few files that say more (package database, unit files).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from images import reboots
from images.changes.entries import ADDED, CHANGED, REMOVED, TIME, Change, changes
from images.changes.holes import digest, may_be_holes
from images.changes.libraries import Libraries
from images.changes.packages import DATABASES, Packages
from images.changes.services import UNITS, Units, programs, runs_on, unit_file, units, with_merged
from images.errors import BadInput
from images.fetch import PackSource
from images.manifest import Entry
from images.store import ImageStore
from images.versions import Version

_KERNEL = re.compile(rb"boot/vmlinu[xz]-(.+)\Z")
PROGRAM, LOADED = "changed", "libraries"


@dataclass(frozen=True, slots=True)
class Report:
    """The differences. `packages`: name to (old, new) version, None where there is none; `services`: name to
    enabled, disabled, masked, unmasked, changed, or `libraries` when only what it loads has changed;
    `kernels` old and new; `reboot`: why a running machine needs one, if it does; `restart`: services of it
    that would go on with old code.
    """

    old: Version
    new: Version
    files: tuple[Change, ...]
    packages: Mapping[str, tuple[str | None, str | None]]
    services: Mapping[str, str]
    kernels: tuple[tuple[str, ...], tuple[str, ...]]
    kernel_changed: bool
    bytes_new: int  # of chunks that only the new version has
    reboot: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many names were added, removed and changed; time alone is counted apart."""
        found = Counter(TIME if one.aspects == (TIME,) else one.kind for one in self.files)
        return {kind: found[kind] for kind in (ADDED, REMOVED, CHANGED, TIME)}

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "old": self.old.ref,
            "new": self.new.ref,
            "counts": self.counts(),
            "bytes_new": self.bytes_new,
            "kernel": {
                "changed": self.kernel_changed, "old": list(self.kernels[0]), "new": list(self.kernels[1]),
            },
            "packages": {name: {"old": old, "new": new} for name, (old, new) in self.packages.items()},
            "services": dict(self.services),
            "reboot": list(self.reboot),
            "files": [
                {"path": one.name, "change": one.kind, "aspects": list(one.aspects), "bytes": one.size}
                for one in self.files
            ],
        }  # fmt: skip


class _Side:
    """One version, as far as it is looked at."""

    def __init__(self, store: ImageStore, version: Version) -> None:
        self._store, self.version = store, version
        self.units: Units | None = None
        self.interesting: dict[bytes, Entry] = {}
        self.chunks: dict[bytes, int] = {}
        self.libraries = Libraries(self.read)
        self._source: PackSource | None = None

    def entries(self) -> Iterator[Entry]:
        """All of them, noting on the way what is looked at later."""
        below: list[Entry] = []
        for entry in self._store.manifest(self.version.id).entries():
            if entry.path in DATABASES or _KERNEL.match(entry.path):
                self.interesting[entry.path] = entry
            if entry.path.startswith(UNITS):
                below.append(entry)
            self.chunks.update((chunk.id, chunk.length) for chunk in entry.chunks)
            self.libraries.note(entry)
            yield entry
        self.units = units(below)

    def read(self, entry: Entry) -> bytes:
        """A file's content."""
        self._source = self._source or self._store.source(self.version.id)
        return b"".join(self._source.stream(chunk.id for chunk in entry.chunks))

    def runs(self, name: str) -> bool:
        """Whether that unit goes on running once it was started."""
        path = unit_file(self.units, name) if self.units is not None and name.endswith(".service") else None
        return path is not None and self.units is not None and runs_on(self.read(self.units.files[path]))

    def packages(self) -> Packages:
        """Its packages; none where no database is known."""
        for path, reader in DATABASES.items():
            entry = self.interesting.get(path)
            if entry is not None and entry.type == "file":
                return reader(self.read(entry))
        return {}

    def kernels(self) -> dict[str, Entry]:
        """Kernel version to its file."""
        found = {}
        for path, entry in self.interesting.items():
            kernel = _KERNEL.match(path)
            if kernel and entry.type == "file":
                found[kernel[1].decode("utf-8", "replace")] = entry
        return found


def compare(store: ImageStore, old_ref: str, new_ref: str) -> Report:
    """What changed from one version to another. Raises ImageNotFound, BadInput (a tree and a disk), as
    reading a manifest does, and ChunkMissing.
    """
    old, new = _Side(store, store.resolve(old_ref)), _Side(store, store.resolve(new_ref))
    if old.version.kind != new.version.kind:
        kinds = f"{old.version.ref} is a {old.version.kind}, {new.version.ref} is a {new.version.kind}"
        raise BadInput(f"these cannot be compared: {kinds}")

    def alike(one: Entry, other: Entry) -> bool:
        return may_be_holes(one, other) and digest(one, old.read) == digest(other, new.read)

    found = tuple(changes(old.entries(), new.entries(), alike))
    before, after = old.packages(), new.packages()
    packages = {
        name: (before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    kernels = old.kernels(), new.kernels()
    same = {name: one.chunks for name, one in kernels[0].items()} == {
        name: one.chunks for name, one in kernels[1].items()
    }
    fresh = sum(length for id, length in new.chunks.items() if id not in old.chunks)
    names = (tuple(sorted(kernels[0])), tuple(sorted(kernels[1])))
    renewed = _renewed(found)
    services = _services(old, new, renewed)
    gone = {one.path for one in found if one.kind == REMOVED}
    reboot = tuple(reboots.reasons(renewed - gone))
    restart = tuple(name for name, what in services.items() if what in (PROGRAM, LOADED) and new.runs(name))
    return Report(
        old.version, new.version, found, packages, services, names, not same, fresh, reboot, restart
    )


def _renewed(found: tuple[Change, ...]) -> set[bytes]:
    """Paths that lead to something else than before."""
    telling = {"content", "type", "hard link", "target"}
    return {one.path for one in found if one.kind != CHANGED or telling.intersection(one.aspects)}


def _services(old: _Side, new: _Side, renewed: set[bytes]) -> dict[str, str]:
    assert old.units is not None and new.units is not None
    said = dict.fromkeys(new.units.enabled - old.units.enabled, "enabled")
    said |= dict.fromkeys(old.units.enabled - new.units.enabled, "disabled")
    said |= dict.fromkeys(new.units.masked - old.units.masked, "masked")
    said |= dict.fromkeys(old.units.masked - new.units.masked - new.units.enabled, "unmasked")
    for name in (new.units.enabled & old.units.enabled) if renewed else ():
        path = unit_file(new.units, name)
        if path is None:
            continue
        starts = {path, *programs(new.read(new.units.files[path]))}
        if any(renewed & with_merged(one) for one in starts):
            said[name] = PROGRAM
        elif any(renewed & new.libraries.loads(one) for one in starts - {path}):
            said[name] = LOADED
    return dict(sorted(said.items()))
