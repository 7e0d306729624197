"""Joins GRUB's two BIOS pieces to a disk: boot.img for the first sector, core.img for the BIOS partition.

Pure: bytes in, bytes out; the offsets are those of GRUB's i386-pc (include/grub/i386/pc/boot.h, offsets.h).
This is what grub-bios-setup does, without guessing devices from paths, which it cannot do in a RAM system.
Python 3.8, standard library only.
"""

from __future__ import annotations

import struct

from images.errors import BadInput, ImageError

SECTOR = 512
KERNEL_SECTOR = 0x5C  # u64: where core.img starts
BOOT_DRIVE = 0x64  # 0xFF: use what the BIOS said
DRIVE_CHECK = 0x66  # a jump that only floppies need; replaced by two NOPs as some BIOSes pass a wrong number
BPB = slice(0x03, 0x5A)  # a floppy's parameter block: kept as it is on the disk
CODE_END = 0x1B8  # disk signature, partition table and mark follow
BLOCK_LIST = SECTOR - 12  # in core.img's first sector: u64 start, u16 length, u16 segment
SEGMENT = 0x820


def master_record(boot_img: bytes, old: bytes, core_sector: int) -> bytes:
    """The disk's first sector: GRUB's code, the partition table that is there. Raises ImageError."""
    if len(boot_img) != SECTOR or len(old) != SECTOR or boot_img[0x1FE:] != b"\x55\xaa":
        raise ImageError("boot.img is not a boot sector")
    sector = bytearray(boot_img)
    sector[BPB] = old[BPB]
    sector[CODE_END:] = old[CODE_END:]
    sector[0x1FE:] = b"\x55\xaa"
    struct.pack_into("<Q", sector, KERNEL_SECTOR, core_sector)
    sector[BOOT_DRIVE] = 0xFF
    sector[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    return bytes(sector)


def embedded_core(core_img: bytes, first_sector: int, room: int) -> bytes:
    """core.img for a run of sectors starting at `first_sector`, padded to whole ones.

    BadInput: over `room` bytes.
    """
    sectors = (len(core_img) + SECTOR - 1) // SECTOR
    if sectors * SECTOR > room:
        raise BadInput(f"the BIOS boot partition has {room} bytes, the boot loader needs {sectors * SECTOR}")
    if sectors < 2:
        raise ImageError("core.img is too short to be one")
    core = bytearray(core_img.ljust(sectors * SECTOR, b"\0"))
    struct.pack_into("<QHH", core, BLOCK_LIST, first_sector + 1, sectors - 1, SEGMENT)
    return bytes(core)
