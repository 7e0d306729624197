"""The profile's disks as partman's answers: a recipe of our own, plain, in LVM, encrypted, or on RAID.

Field facts: some questions come up only on some machines, and wait for a person there: a system on an old
disk that starts by BIOS where the firmware is UEFI, a /boot in LVM, a short passphrase. On a machine with
several disks partman asks which one, and GRUB goes to the BIOS's first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pxe.answers.errors import Finding
from pxe.answers.preseed.plans import locks, refuse
from pxe.answers.preseed.recipe import Recipes, drives, paths
from pxe.answers.storage import Disks, Luks
from pxe.answers.text import is_line

Answer = tuple[str, str, str]
Say = Callable[[Finding], None]
_LEAST = 1024  # MiB, for a system whose parts have no sizes
_SECTORS = 2048  # of 512 bytes, in a MiB
_CONFIRMED = (
    "partman-lvm/device_remove_lvm",
    "partman-lvm/confirm",
    "partman-lvm/confirm_nooverwrite",  # asked instead where the disks are blank
    "partman-md/device_remove_md",
    "partman-md/confirm",
    "partman-md/confirm_nooverwrite",
    "partman-partitioning/confirm_write_new_label",
    "partman/confirm",
    "partman/confirm_nooverwrite",
    "partman-efi/non_efi_system",  # yes: make it start by UEFI, whatever is on the disks
)


def disk_answers(disks: Disks, release: int, secrets: Mapping[str, str], say: Say) -> Iterator[Answer]:
    """All answers of partman; what it cannot do is said."""
    locked = dict(locks(disks))
    method = _method(disks, bool(locked))
    refuse(disks, method, locked, release, say)
    if drives(disks):
        yield "partman-auto/disk", "string", " ".join(paths(disks))
    else:
        yield "partman/early_command", "string", _chosen(disks)
    yield "partman-auto/method", "string", method
    yield "partman-partitioning/default_label", "string", (disks.clear and disks.clear.label) or "gpt"
    if disks.partitions:
        recipes = Recipes(disks, bool(locked), say)
        yield "partman-auto/expert_recipe", "string", recipes.expert()
        if disks.raids:
            yield "partman-auto-raid/recipe", "string", recipes.raid()
    else:
        yield "partman-auto/choose_recipe", "select", "atomic"
    if locked:
        yield "partman-auto-crypto/erase_disks", "boolean", "false"
        yield from _passphrase(next(iter(locked.values())), secrets, say)
    if disks.groups or method in ("lvm", "crypto"):
        yield "partman-auto-lvm/guided_size", "string", "max"
    if disks.groups:
        yield "partman-auto-lvm/new_vg_name", "string", disks.groups[0].name
        yield "partman-auto-lvm/no_boot", "boolean", "true"  # GRUB reads LVM
    for question in _CONFIRMED:
        yield question, "boolean", "true"
    yield "partman/choose_partition", "select", "finish"
    if "swap" not in {*(part.name for part in disks.partitions), *(raid.name for raid in disks.raids),
                      *(volume.mount for volume in disks.volumes)}:  # fmt: skip
        yield "partman-basicfilesystems/no_swap", "boolean", "false"


def _chosen(disks: Disks) -> str:
    """Shell of the installer that chooses one of several disks where none is named, as imaging does: the
    smallest fixed one that is large enough, the first of equals. What a script has answered stays; where none
    fits, the installer asks."""
    parts, volumes = (sum(one.size or 0 for one in some) for some in (disks.partitions, disks.volumes))
    need = max(_LEAST, parts, volumes) * _SECTORS
    return (
        "set -- $(list-devices disk); best=; [ $# -lt 2 ] || for disk in $*; do "
        'at=/sys/block/$(echo "${disk#/dev/}" | tr / "!"); [ "$(cat $at/removable)" = 0 ] || continue; '
        f'case $(readlink -f $at) in */usb*) continue;; esac; size=$(cat $at/size); [ "$size" -ge {need} ] '
        '|| continue; if [ -z "$best" ] || [ "$size" -lt "$least" ]; then best=$disk; least=$size; fi; done; '
        '[ -z "$best" ] || [ "$(debconf-get partman-auto/disk)" ] || debconf-set partman-auto/disk "$best"; '
        '[ -z "$best" ] || [ "$(debconf-get grub-installer/bootdev)" != default ] || '
        'debconf-set grub-installer/bootdev "$(debconf-get partman-auto/disk)"; :'
    )


def _method(disks: Disks, locked: bool) -> str:
    if disks.raids:
        return "raid"
    if locked:
        return "crypto"
    automatic = disks.automatic
    lvm = disks.volumes or (automatic and not automatic.no_lvm and automatic.type in (None, "lvm"))
    return "lvm" if lvm else "regular"


def _passphrase(lock: Luks, secrets: Mapping[str, str], say: Say) -> Iterator[Answer]:
    name = (lock.passphrase or "").removeprefix("secret:")
    if not name:
        return  # it is asked for on the console
    if name not in secrets or not is_line(secrets[name]):
        say(Finding(f"there is no secret of one line named {name}", "disks"))
        return
    for question in ("passphrase", "passphrase-again"):
        yield f"partman-crypto/{question}", "password", secrets[name]
    yield "partman-crypto/weak_passphrase", "boolean", "true"
