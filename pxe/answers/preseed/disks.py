"""The profile's disks as partman's answers: a recipe of our own, plain, in LVM, encrypted, or on RAID.

Field facts: partman makes the same recipe boot by BIOS and by UEFI when it has both a biosgrub and an efi
partition in a GPT, each limited to its kind of firmware by `$reusemethod`; sizes are MB (10^6), three to a
partition: least, weight, most (-1: all there is). Some questions come up only on some machines, and wait for
a person there: a system on an old disk that starts by BIOS where the firmware is UEFI, a /boot in LVM, a
short passphrase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pxe.answers.errors import Finding
from pxe.answers.storage import Disks, Partition, Volume
from pxe.answers.text import is_line

Answer = tuple[str, str, str]
Say = Callable[[Finding], None]
_BIOS = "1 1 1 free $iflabel{ gpt } $reusemethod{ } method{ biosgrub } ."
_CONFIRMED = (
    "partman-lvm/device_remove_lvm",
    "partman-lvm/confirm",
    "partman-md/device_remove_md",
    "partman-md/confirm",
    "partman-partitioning/confirm_write_new_label",
    "partman/confirm",
    "partman/confirm_nooverwrite",
    "partman-efi/non_efi_system",  # yes: make it start by UEFI, whatever is on the disks
)
_EFI = "256 256 512 free $iflabel{ gpt } $reusemethod{ } method{ efi } format{ } ."


def disk_answers(disks: Disks, secrets: Mapping[str, str], say: Say) -> Iterator[Answer]:
    """All answers of partman; what it cannot do is said."""
    method = _method(disks)
    drives = _drives(disks)
    if drives:
        yield "partman-auto/disk", "string", " ".join(f"/dev/{name.removeprefix('/dev/')}" for name in drives)
    yield "partman-auto/method", "string", method
    yield "partman-partitioning/default_label", "string", (disks.clear and disks.clear.label) or "gpt"
    if disks.partitions:
        yield "partman-auto/expert_recipe", "string", " ".join(["bootsrv ::", *_recipe(disks, say)])
        if disks.raids:
            yield "partman-auto-raid/recipe", "string", " ".join(_raids(disks))
    else:
        yield "partman-auto/choose_recipe", "select", "atomic"
    yield from _crypto(disks, secrets, say)
    if disks.groups:
        yield "partman-auto-lvm/new_vg_name", "string", disks.groups[0].name
        yield "partman-auto-lvm/guided_size", "string", "max"
        yield "partman-auto-lvm/no_boot", "boolean", "true"  # GRUB reads LVM
        if len(disks.groups) > 1:
            say(Finding("Debian's installer makes one volume group by itself", "disks.groups[1]"))
    for question in _CONFIRMED:
        yield question, "boolean", "true"
    yield "partman/choose_partition", "select", "finish"
    if not any(part.name == "swap" for part in disks.partitions) and not _swap_volume(disks):
        yield "partman-basicfilesystems/no_swap", "boolean", "false"


def _method(disks: Disks) -> str:
    automatic = disks.automatic
    if (automatic and automatic.luks) or any(part.luks for part in disks.partitions):
        return "crypto"
    if disks.raids:
        return "raid"
    lvm = disks.volumes or (automatic and not automatic.no_lvm and automatic.type in (None, "lvm"))
    return "lvm" if lvm else "regular"


def _drives(disks: Disks) -> list[str]:
    named = [part.disk for part in disks.partitions if part.disk]
    return list(dict.fromkeys([*disks.only, *named, *(disks.clear.drives if disks.clear else ())]))


def _recipe(disks: Disks, say: Say) -> Iterator[str]:
    yield _BIOS
    yield _EFI
    # The recipe is laid on every disk, so one line stands for the members of an array on all of them.
    others = {name for raid in disks.raids for name in raid.members[1:]}
    for number, part in enumerate(disks.partitions):
        if part.on_partition or part.keep or part.start is not None:
            say(Finding("Debian's installer makes its partitions afresh", f"disks.partitions[{number}]"))
        if part.name not in others:
            yield _line(part)
    for volume in disks.volumes:
        yield _volume(volume)


def _line(part: Partition) -> str:
    size = _sizes(part.size, part.max_size, part.grow)
    if part.name.startswith("raid."):
        return f"{size} raid $lvmignore{{ }} $primary{{ }} method{{ raid }} ."
    if part.name.startswith("pv."):
        return f"{size} ext4 $defaultignore{{ }} $primary{{ }} method{{ lvm }} ."
    first = "$primary{ } $lvmignore{ } " + ("$bootable{ } " if part.name == "/boot" else "")
    return f"{size} {_content(part.name, part.filesystem, first)}"


def _volume(volume: Volume) -> str:
    size = _sizes(volume.size, volume.max_size, volume.grow)
    inside = f"$lvmok{{ }} in_vg{{ {volume.group} }} lv_name{{ {volume.name} }} "
    return f"{size} {_content(volume.mount, volume.filesystem, inside)}"


def _content(mount: str, filesystem: str | None, flags: str) -> str:
    if mount == "swap":
        return f"linux-swap {flags}method{{ swap }} format{{ }} ."
    kind = filesystem or "ext4"
    return (f"{kind} {flags}method{{ format }} format{{ }} use_filesystem{{ }} filesystem{{ {kind} }} "
            f"mountpoint{{ {mount} }} .")  # fmt: skip


def _sizes(size: int | None, most: int | None, grow: bool) -> str:
    """Least, weight and most in MB, from MiB."""
    least = max(1, round((size or 512) * 1.048576))
    if grow:
        return f"{least} {least + 10000} {round(most * 1.048576) if most else -1}"
    return f"{least} {least} {least}"


def _raids(disks: Disks) -> Iterator[str]:
    """partman-auto-raid: level, devices, spares, filesystem, mount point, options, members by '#'."""
    drives = _drives(disks)
    disk_of = {part.name: part.disk for part in disks.partitions}
    order = dict.fromkeys(drives, 3)  # partitions 1 and 2 are biosgrub and efi
    device: dict[str, str] = {}
    for part in disks.partitions:
        drive = disk_of[part.name]
        if part.name.startswith("raid.") and drive:
            short = drive.removeprefix("/dev/")
            device[part.name] = f"/dev/{short}{'p' if short[-1].isdigit() else ''}{order[drive]}"
            order[drive] += 1
    for raid in disks.raids:
        level = (raid.level or "1").upper().removeprefix("RAID")
        members = "#".join(device.get(name, name) for name in raid.members)
        kind = raid.filesystem or "ext4"
        kind = "lvm" if raid.name.startswith("pv.") else "swap" if raid.name == "swap" else kind
        mount = "-" if kind in ("lvm", "swap") else raid.name
        spares = raid.spares or 0
        yield f"{level} {len(raid.members) - spares} {spares} {kind} {mount} {members} ."


def _crypto(disks: Disks, secrets: Mapping[str, str], say: Say) -> Iterator[Answer]:
    locks = [part.luks for part in (*disks.partitions, *disks.volumes, *disks.raids) if part.luks]
    locks += [disks.automatic.luks] if disks.automatic and disks.automatic.luks else []
    if not locks:
        return
    name = (locks[0].passphrase or "").removeprefix("secret:")
    if not name:
        return
    if name not in secrets or not is_line(secrets[name]):
        say(Finding(f"there is no secret of one line named {name}", "disks"))
        return
    for question in ("passphrase", "passphrase-again"):
        yield f"partman-crypto/{question}", "password", secrets[name]
    yield "partman-crypto/weak_passphrase", "boolean", "true"
    yield "partman-auto-crypto/erase_disks", "boolean", "false"


def _swap_volume(disks: Disks) -> bool:
    return "swap" in {*(volume.mount for volume in disks.volumes), *(raid.name for raid in disks.raids)}
