"""Arrays, encrypted devices and volume groups: made new, opened again, and let go.

Uses mdadm, cryptsetup and LVM's own tools without udev's help (the imager has no rules for them: nothing on
an old disk is ever assembled by itself). Arrays do not begin to synchronise before the imaged system runs.
The law: a passphrase goes through a pipe, never into an argument. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

from images.agent.disk import clear_heads
from images.agent.run import CommandFailed, run
from images.errors import BadInput
from images.mounts_table import md_uuid
from images.storage import Array, Crypt, Group, Storage

LVM = "devices{use_devicesfile=0} activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0}"
# The key is random and long, so that stretching it would only cost memory and time at every boot.
PBKDF = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "100000")
SYS_BLOCK = Path("/sys/block")
MAPPED = Path("/dev/mapper")
START_RO = Path("/sys/module/md_mod/parameters/start_ro")  # "1": arrays wait for the first write
ROUNDS = 20  # layers and retries that letting go may take
Say = Callable[[str], None]


def prepare() -> None:
    """What the tools need to know of this RAM system, once."""
    os.environ.update(DM_DISABLE_UDEV="1", MDADM_NO_UDEV="1", LVM_SUPPRESS_FD_WARNINGS="1")
    Path("/run/lock/lvm").mkdir(parents=True, exist_ok=True)
    Path("/run/cryptsetup").mkdir(parents=True, exist_ok=True)
    for module in ("dm_mod", "md_mod"):
        run(["modprobe", module])


def create(storage: Storage, uuids: dict[str, str], key: str | None) -> None:
    """Makes every layer; `uuids` by array key, and by the device below an encrypted one."""
    if not storage.features:
        return
    prepare()
    for array in storage.arrays:
        _create_array(array, uuids[array.key])
    for crypt in storage.crypts:
        clear_heads(crypt.below)
        command = ["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", *PBKDF]
        run([*command, "--uuid", uuids[crypt.below], "--key-file", "-", crypt.below], _key(key))
        _open(crypt, key)
    for group in storage.groups:
        _create_group(group)


def assemble(storage: Storage, key: str | None) -> None:
    """Opens every layer of what an earlier imaging made. Raises CommandFailed when one is not there."""
    if not storage.features:
        return
    prepare()
    for array in storage.arrays:
        run(["mdadm", "--assemble", "--run", array.device, *array.members])
        _hold_back(array)
    for crypt in storage.crypts:
        _open(crypt, key)
    for group in storage.groups:
        lvm("vgchange", "--activate", "y", group.name)
        for volume in group.volumes:
            device = Path("/dev") / group.name / volume.name
            size = run(["blockdev", "--getsize64", str(device)]).strip()
            if int(size) != volume.partition.least and not volume.partition.size.grow:
                raise CommandFailed(f"volume {volume.name} has {size} bytes, not what the layout says")


def find(say: Say, key: str | None = None) -> list[str]:
    """Opens what arrays, encrypted devices and groups are there, for somebody who only reads: an array that
    nobody writes to neither synchronises nor changes its members. Encrypted devices that `key` did not open.
    """
    shut: list[str] = []
    try:
        prepare()
        START_RO.write_text("1")
        try:
            run(["mdadm", "--assemble", "--scan", "--run"], good=(0, 1, 2))  # 1, 2: none, or one is broken
        finally:
            START_RO.write_text("0")
        shut += _unlock(say, key)
        lvm("vgchange", "--activate", "y")
    except (CommandFailed, OSError) as error:
        say(f"arrays, encrypted devices and volume groups: {error}")
    return shut


def _unlock(say: Say, key: str | None) -> list[str]:
    shut = []
    found = run(["blkid", "-o", "device", "-t", "TYPE=crypto_LUKS"], good=(0, 2)).split()
    for number, device in enumerate(found, 1):
        try:
            # Not read-only: the journal that a crash left in what lies there could not be replayed then.
            run(["cryptsetup", "open", "--key-file", "-", device, f"capture-{number}"], _key(key))
        except BadInput:
            shut.append(device)
        except CommandFailed as error:
            shut.append(device)
            say(f"{device} stays encrypted: {error}")
    return shut


def release() -> None:
    """Lets go of everything that is mapped or assembled. All of it is ours: nothing else assembles here."""
    for _ in range(ROUNDS):
        mapped = [p for p in SYS_BLOCK.glob("dm-*") if not any((p / "holders").iterdir())]
        arrays = [p for p in SYS_BLOCK.glob("md*") if not any((p / "holders").iterdir())]
        if not mapped and not arrays:
            return
        for folder in mapped:
            run(["dmsetup", "remove", "--retry", (folder / "dm/name").read_text().strip()])
        for folder in arrays:
            run(["mdadm", "--stop", f"/dev/{folder.name}"])
        time.sleep(0.05)
    raise CommandFailed("an array or a mapped device cannot be let go of: is something using it?")


def lvm(*words: str) -> None:
    """One LVM command."""
    run(["lvm", words[0], "--config", LVM, *words[1:]])


def _create_array(array: Array, uuid: str) -> None:
    for member in array.members:
        clear_heads(member)
    command = ["mdadm", "--create", array.device, "--run", "--force", f"--level={array.level}"]
    command += ["--metadata=1.2", "--data-offset=1M", f"--name={array.name}", "--homehost=any"]
    command += [f"--uuid={md_uuid(uuid)}", f"--raid-devices={len(array.members)}"]
    run([*command, *(["--bitmap=internal"] if array.level else []), *array.members])
    _hold_back(array)
    clear_heads(array.device)


def _hold_back(array: Array) -> None:
    """No synchronising while we write; the system that boots does it."""
    if array.level:
        action = SYS_BLOCK / Path(array.device).name / "md/sync_action"
        action.write_text("frozen\n")


def _open(crypt: Crypt, key: str | None) -> None:
    command = ["cryptsetup", "open", "--type", "luks2", "--allow-discards", "--key-file", "-"]
    run([*command, crypt.below, crypt.name], _key(key))


def _key(key: str | None) -> str:
    if not key:
        raise BadInput("the layout encrypts a disk, but the server gave no key for this machine")
    return key


def _create_group(group: Group) -> None:
    for device in group.devices:
        clear_heads(device)
        lvm("pvcreate", "-ff", "--yes", device)
    lvm("vgcreate", "--yes", group.name, *group.devices)
    for volume in group.volumes:
        grow = volume.partition.size.grow
        size = ["--extents", "100%FREE"] if grow else ["--size", f"{volume.partition.least}b"]
        lvm("lvcreate", "--yes", "--wipesignatures", "y", "--name", volume.name, *size, group.name)
