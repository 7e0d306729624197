"""Which network boot loader a firmware can start: IANA processor architecture (RFC 4578, DHCP option 93) ->
file.

The numbers are IANA's "Processor Architecture Types"; those marked HTTP are what UEFI HTTP Boot announces.
The files are iPXE builds as distributions name them, found in the payload directory under `loaders/`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kind of machine, as its firmware announces itself."""

    code: int
    name: str
    cpu: str  # "i386", "x86_64", ...
    firmware: str  # "bios" | "uefi" | "other"
    loader: str | None  # file under loaders/; None: we have nothing it can start
    http: bool = False  # the firmware fetches by HTTP itself


_ALL = (
    # undionly drives the card through the ROM's own driver, so it works on every card that got this far.
    Architecture(0, "x86 BIOS", "i386", "bios", "undionly.kpxe"),
    Architecture(1, "NEC/PC98", "i386", "other", None),
    Architecture(2, "Itanium UEFI", "ia64", "uefi", None),
    Architecture(3, "DEC Alpha", "alpha", "other", None),
    Architecture(4, "Arc x86", "i386", "other", None),
    Architecture(5, "Intel Lean Client", "i386", "other", None),
    Architecture(6, "x86 UEFI", "i386", "uefi", None),
    # snponly uses the firmware's own network driver: it is known to work, the machine has just booted over
    # it.
    Architecture(7, "x64 UEFI", "x86_64", "uefi", "snponly.efi"),
    Architecture(8, "Xscale UEFI", "arm32", "uefi", None),
    # RFC 4578 and IANA disagree about 7 and 9; real x64 firmware announces either.
    Architecture(9, "EBC", "x86_64", "uefi", "snponly.efi"),
    Architecture(10, "ARM 32-bit UEFI", "arm32", "uefi", None),
    Architecture(11, "ARM 64-bit UEFI", "arm64", "uefi", "ipxe-arm64.efi"),
    Architecture(12, "PowerPC Open Firmware", "ppc", "other", None),
    Architecture(13, "PowerPC ePAPR", "ppc", "other", None),
    Architecture(14, "POWER OPAL v3", "ppc64", "other", None),
    Architecture(15, "x86 UEFI HTTP", "i386", "uefi", None, http=True),
    Architecture(16, "x64 UEFI HTTP", "x86_64", "uefi", "snponly.efi", http=True),
    Architecture(17, "EBC HTTP", "x86_64", "uefi", "snponly.efi", http=True),
    Architecture(18, "ARM 32-bit UEFI HTTP", "arm32", "uefi", None, http=True),
    Architecture(19, "ARM 64-bit UEFI HTTP", "arm64", "uefi", "ipxe-arm64.efi", http=True),
    Architecture(20, "x86 BIOS HTTP", "i386", "bios", "undionly.kpxe", http=True),
    Architecture(21, "ARM 32-bit U-Boot", "arm32", "uefi", None),
    Architecture(22, "ARM 64-bit U-Boot", "arm64", "uefi", "ipxe-arm64.efi"),
    Architecture(23, "ARM 32-bit U-Boot HTTP", "arm32", "uefi", None, http=True),
    Architecture(24, "ARM 64-bit U-Boot HTTP", "arm64", "uefi", "ipxe-arm64.efi", http=True),
    Architecture(25, "RISC-V 32-bit UEFI", "riscv32", "uefi", None),
    Architecture(26, "RISC-V 32-bit UEFI HTTP", "riscv32", "uefi", None, http=True),
    Architecture(27, "RISC-V 64-bit UEFI", "riscv64", "uefi", "ipxe-riscv64.efi"),
    Architecture(28, "RISC-V 64-bit UEFI HTTP", "riscv64", "uefi", "ipxe-riscv64.efi", http=True),
    Architecture(29, "RISC-V 128-bit UEFI", "riscv128", "uefi", None),
    Architecture(30, "RISC-V 128-bit UEFI HTTP", "riscv128", "uefi", None, http=True),
    Architecture(31, "s390 basic", "s390x", "other", None),
    Architecture(32, "s390 extended", "s390x", "other", None),
    Architecture(33, "MIPS 32-bit UEFI", "mips32", "uefi", None),
    Architecture(34, "MIPS 64-bit UEFI", "mips64", "uefi", None),
    Architecture(35, "Sunway 32-bit UEFI", "sw32", "uefi", None),
    Architecture(36, "Sunway 64-bit UEFI", "sw64", "uefi", None),
    Architecture(37, "LoongArch 32-bit UEFI", "loong32", "uefi", None),
    Architecture(38, "LoongArch 32-bit UEFI HTTP", "loong32", "uefi", None, http=True),
    Architecture(39, "LoongArch 64-bit UEFI", "loong64", "uefi", "ipxe-loong64.efi"),
    Architecture(40, "LoongArch 64-bit UEFI HTTP", "loong64", "uefi", "ipxe-loong64.efi", http=True),
    Architecture(41, "ARM RPi boot", "arm32", "other", None),
)

BY_CODE = {entry.code: entry for entry in _ALL}


def architecture(code: int | None) -> Architecture:
    """The kind of machine for a code; no code at all is an old BIOS ROM (RFC 4578 made it mandatory in
    2006)."""
    known = BY_CODE.get(0 if code is None else code)
    return known or Architecture(code or 0, f"architecture {code}", "unknown", "other", None)


def loader_for(code: int | None) -> str | None:
    """The loader's file name, or None when we have none for this machine."""
    return architecture(code).loader
