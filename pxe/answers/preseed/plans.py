"""Which plans of disks Debian's installer would ask about, or make something else of: they are refused.

Field facts, from partman's own scripts: by itself it lays plain partitions on one disk, makes one volume
group on any number of them, encrypts just that, on one disk or (since Debian 13) on an array, by one
passphrase; and the last volume gets all that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pxe.answers.errors import Finding
from pxe.answers.preseed.recipe import drives
from pxe.answers.storage import Disks, Luks

Say = Callable[[Finding], None]
_LOCKS_ARRAYS = 13  # since this release
_LABELS = ("gpt", "msdos")
_ONLY_THE_GROUP = "Debian's installer encrypts a volume group by itself, and nothing else"


def locks(disks: Disks) -> Iterator[tuple[str, Luks]]:
    """What is to be encrypted, by its field."""
    for name in ("partitions", "raids", "volumes"):
        for number, one in enumerate(getattr(disks, name)):
            if one.luks is not None:
                yield f"disks.{name}[{number}].luks", one.luks
    if disks.automatic is not None and disks.automatic.luks is not None:
        yield "disks.automatic.luks", disks.automatic.luks


def refuse(disks: Disks, method: str, locked: Mapping[str, Luks], release: int, say: Say) -> None:
    """Says what of a plan is not done. `method`: regular, lvm, crypto or raid."""
    label = disks.clear.label if disks.clear else None
    if label not in (None, *_LABELS):
        say(Finding(f"must be one of {', '.join(_LABELS)}", "disks.clear.label"))
    if label == "msdos" and disks.raids:
        say(Finding("arrays need a GPT, where their partitions' numbers are known", "disks.clear.label"))
    automatic = disks.automatic
    if automatic and automatic.luks and (automatic.no_lvm or automatic.type not in (None, "lvm")):
        what = "no_lvm" if automatic.no_lvm else "type"
        say(Finding("Debian's installer encrypts LVM only", f"disks.automatic.{what}"))
    _group(disks, say)
    _one_disk(disks, method, say)
    _encryption(disks, bool(locked), release, say)
    for where, lock in locked.items():
        if lock.version not in (None, "luks2") or lock.cipher is not None:
            say(Finding("Debian's installer makes LUKS 2 with a cipher of its own", where))
    if len({lock.passphrase for lock in locked.values()}) > 1:
        say(Finding("Debian's installer has one passphrase for all that it encrypts", "disks"))


def _names(disks: Disks) -> set[str]:
    """What there is beside volumes: mount points, and parts of groups and arrays."""
    return {*(part.name for part in disks.partitions), *(raid.name for raid in disks.raids)}


def _group(disks: Disks, say: Say) -> None:
    groups, known = {one.name for one in disks.groups}, _names(disks)
    if len(groups) > 1:
        say(Finding("Debian's installer makes one volume group by itself", "disks.groups[1]"))
    for number, volume in enumerate(disks.volumes):
        if volume.group not in groups:
            say(Finding(f"there is no group {volume.group}", f"disks.volumes[{number}].group"))
    for name in (name for one in disks.groups for name in one.members if name not in known):
        say(Finding(f"there is no partition or array named {name}", "disks.groups[0].members"))
    if not disks.partitions and (disks.raids or disks.groups):
        say(Finding("arrays and volume groups need partitions", "disks.partitions"))
    if disks.volumes and not any(one.grow for one in disks.volumes):
        what = "Debian's installer gives the last volume all that is left; one must grow"
        say(Finding(what, "disks.volumes"))


def _one_disk(disks: Disks, method: str, say: Say) -> None:
    first = next(iter(drives(disks)), None)
    for number, part in enumerate(disks.partitions):
        where = f"disks.partitions[{number}]"
        if part.on_partition or part.keep or part.start is not None:
            say(Finding("Debian's installer makes its partitions afresh", where))
        free = method == "raid" or (method == "lvm" and part.name.startswith("pv."))
        if part.disk not in (None, first) and not free:
            what = f"Debian's installer lays all partitions on the first disk, {first}"
            say(Finding(what, f"{where}.disk"))


def _encryption(disks: Disks, locked: bool, release: int, say: Say) -> None:
    """Whether exactly the volume group is encrypted, all of it."""
    for number, part in enumerate(disks.partitions):
        held, where = part.name.startswith("pv."), f"disks.partitions[{number}]"
        if part.luks is not None and (not held or disks.raids):
            say(Finding(_ONLY_THE_GROUP, f"{where}.luks"))
        elif held and locked and part.luks is None:
            say(Finding("a part of the volume group would not be encrypted", where))
    for number, raid in enumerate(disks.raids):
        held, where = raid.name.startswith("pv."), f"disks.raids[{number}]"
        if raid.luks is not None and not held:
            say(Finding(_ONLY_THE_GROUP, f"{where}.luks"))
        elif raid.luks is not None and release < _LOCKS_ARRAYS:
            say(Finding(f"Debian's installer encrypts arrays since Debian {_LOCKS_ARRAYS}", f"{where}.luks"))
        elif held and locked and raid.luks is None:
            say(Finding("a part of the volume group would not be encrypted", where))
    for number, volume in enumerate(disks.volumes):
        if volume.luks is not None:
            say(Finding(_ONLY_THE_GROUP, f"disks.volumes[{number}].luks"))
    if locked and disks.volumes and not {"/", "/boot"} & _names(disks):
        say(Finding("nothing starts from what is encrypted: /boot needs a partition or an array", "disks"))
