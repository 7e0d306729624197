"""Makes the ground ready that an image is written on: reuses what fits, makes the rest new.

`Ground` knows after `look` whether the disks already are what the layout wants. Then `partition` leaves the
tables alone and `format` the file systems that hold an older tree, which becomes the seed. In every case
the first thing that is written makes the disks unbootable. Whatever on the way turns out unsound is made
new, except what is to be kept. Python 3.8, standard library only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from images.agent import disk as disks
from images.agent import volumes
from images.agent.present import Row, check_kept, difference, filesystem, kept, must_stay, table
from images.agent.run import CommandFailed, run
from images.errors import ImageError
from images.storage import Place, PlannedDisk, Storage

Say = Callable[[str], None]
REUSABLE = ("root", "boot")
BOOT_ROLES = ("bios", "esp")


class Ground:
    """The disks of one deploy. `uuids` by device (arrays by key), `guids` by (disk, partition number)."""

    def __init__(self, storage: Storage, wipe: bool, key: str | None, say: Say) -> None:
        self.storage, self.wipe, self._key, self._say = storage, wipe, key, say
        self.uuids: dict[str, str] = {}
        self.guids: dict[tuple[str, int], str] = {}
        self.reused: list[Place] = []
        self._kept_table = False
        self._stay: list[Place] = []  # data to keep that is there
        self._tables: dict[str, tuple[Row, ...]] = {}
        self._why: list[str] = []  # what could have been used and is made new

    def look(self) -> None:
        """Reads what is there. Raises BadInput for data to keep that could not be."""
        self._tables = {d.path: table(d.path) for d in self.storage.disks}
        if self.wipe:
            return
        self._stay = kept(self.storage, self._tables)
        why = {d.path: difference(d, self._tables[d.path]) for d in self.storage.disks}
        self._kept_table = not any(why.values())
        self._why = [text for disk, text in why.items() if text and self._tables[disk]]
        above = [place for place in self._stay if place.disk is None]
        if above and not self._kept_table:
            raise must_stay(above[0], next(text for text in why.values() if text))
        if above:
            self._look_into(above)
        for place in self._stay:
            if place.disk is not None:
                check_kept(place)

    def _look_into(self, places: list[Place]) -> None:
        """What lies on an array, an encrypted device or a group shows only when that is open."""
        disks.unmount_all(Path("/mnt"))
        volumes.release()
        try:
            volumes.assemble(self.storage, self._key)
            for place in places:
                check_kept(place)
        except (CommandFailed, OSError) as error:
            raise must_stay(places[0], f"what it lies on cannot be opened ({error})") from error
        finally:
            volumes.release()

    @property
    def loses(self) -> bool:
        """Whether `partition` makes new tables over what is there, though nobody asked for that."""
        return not self._kept_table and not self.wipe

    def partition(self) -> str:
        """Tables, arrays, encryption, groups; text for people. From here on the disks do not boot."""
        disks.unmount_all(Path("/mnt"))
        volumes.release()
        if self._kept_table:
            for disk in self.storage.disks:
                self._old_table(disk)
            if self._assemble():
                return f"as it was: {self.storage.text}"
        else:
            holding = {place.disk for place in self._stay}
            for disk in self.storage.disks:
                if disk.path in holding:
                    self._old_table(disk)
                else:
                    self._new_table(disk.path)
        self._create()
        return "; ".join((self.storage.text, *(f"made new: {text}" for text in self._why)))

    def _old_table(self, disk: PlannedDisk) -> None:
        """The table stays; what the firmware would start goes."""
        heads = [e.start for e in disk.plan.extents if e.partition.role in BOOT_ROLES]
        disks.unboot(disk.path, heads)
        for row in self._tables[disk.path]:
            self.guids[disk.path, row.number] = row.guid.lower()

    def _new_table(self, path: str) -> None:
        planned = next(d for d in self.storage.disks if d.path == path).plan
        disks.wipe(path, disks.old_partitions(path), planned.extents)
        if self.wipe:
            disks.clear(path, self._say)
        guids = [disks.new_uuid("gpt") for _ in planned.extents]
        disks.partition(path, planned, disks.new_uuid("gpt"), guids)
        self.guids.update({(path, number): guid for number, guid in enumerate(guids, 1)})

    def _assemble(self) -> bool:
        try:
            volumes.assemble(self.storage, self._key)
        except (CommandFailed, OSError) as error:
            for place in self._stay:
                if place.disk is None:
                    raise must_stay(place, f"what it lies on cannot be opened ({error})") from error
            self._say(f"what is on the disk cannot be used: {error}")
            self._why.append(str(error))
            volumes.release()
            return False
        self.reused = [p for p in self.storage.places if p.partition.role in REUSABLE and self._sound(p)]
        if self.storage.root not in self.reused:
            self.reused = []
        self.uuids.update({p.device: filesystem(p.device)["UUID"] for p in self.reused})
        self.uuids.update({c.below: filesystem(c.below)["UUID"] for c in self.storage.crypts})
        self.uuids.update({a.key: _array_uuid(a.device) for a in self.storage.arrays})
        return True

    def _sound(self, place: Place) -> bool:
        """Whether the right file system is there and its own tool finds nothing wrong (or mends it)."""
        fs = place.partition.fs
        found, label = filesystem(place.device), disks.label_of(place.partition)
        if found.get("TYPE") != fs:
            return self._unsound(place, f"it holds {found.get('TYPE', 'no file system')}, not {fs}")
        there = found.get("LABEL", "").replace("\\", "")
        if label and there != label:
            return self._unsound(place, f"its label is {there!r}, not {label!r}")
        try:
            if fs == "ext4":
                # -f: without barriers, a cut leaves faults behind a journal that was replayed without one
                run(["e2fsck", "-f", "-p", place.device], good=(0, 1))
            else:
                # a log is replayed by mounting
                where = disks.mount(place, Path("/mnt/probe"))
                run(["umount", str(where)])
                disks.check_filesystem(place.device, fs)
        except ImageError as error:
            return self._unsound(place, str(error))
        return True

    def _unsound(self, place: Place, why: str) -> bool:
        """False, said."""
        self._say(f"{place.device} is made new: {why}")
        self._why.append(f"{place.device}: {why}")
        return False

    def _create(self) -> None:
        layers = (*(a.key for a in self.storage.arrays), *(c.below for c in self.storage.crypts))
        self.uuids = {device: disks.new_uuid("gpt") for device in layers}
        volumes.create(self.storage, self.uuids, self._key)

    def format(self, files: int) -> str:
        """File systems: new ones with new UUIDs, but for what is reused or kept; text for people."""
        said = []
        for place in self.storage.places:
            p = place.partition
            if place in self.reused or p.fs == "none":
                continue
            if place in self._stay:
                self.uuids[place.device] = filesystem(place.device)["UUID"]
                said.append(f"{p.role} {p.label or place.device} kept")
                continue
            self.uuids[place.device] = disks.new_uuid(p.fs)
            disks.make_filesystem(place.device, p, place.size, self.uuids[place.device], files)
            said.append(f"{p.fs} {p.role}")
        said += [f"made new: {text}" for text in self._why if self._kept_table]
        said += [f"{p.partition.fs} {p.partition.role} used as it is" for p in self.reused]
        return ", ".join(said)

    def format_again(self, files: int) -> None:
        """Gives up what was reused: a fault came up while the old tree was being used."""
        disks.unmount_all(Path("/mnt"))
        for place in self.reused:
            self.uuids[place.device] = disks.new_uuid(place.partition.fs)
            p = place.partition
            disks.make_filesystem(place.device, p, place.size, self.uuids[place.device], files)
        self.reused = []


def _array_uuid(device: str) -> str:
    said = run(["mdadm", "--detail", "--export", device])
    return next(line[len("MD_UUID=") :] for line in said.splitlines() if line.startswith("MD_UUID="))
