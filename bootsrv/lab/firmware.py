"""The firmware and the accelerator a virtual machine runs with: where they are and QEMU's arguments for them.

BIOS is SeaBIOS with QEMU's iPXE option ROM (a 2019 build on Debian 12: just what old machines have; a recent
one on Debian 13); its console goes to the serial port. UEFI is OVMF with its own network stack: `romfile=`
keeps QEMU's iPXE out, which would otherwise replace OVMF's driver and breaks shim ("Malformed binary"). The
same card is offered to UEFI twice, for PXE and for HTTP Boot; OVMF is told to leave PXE out by a fw_cfg item
of its own. Secure Boot needs the build with SMM, which keeps the variables with Microsoft's keys out of the
guest's reach.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from enum import StrEnum
from functools import cache
from pathlib import Path

from bootsrv.lab.errors import LabError

QEMU = "qemu-system-x86_64"
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
SECURE_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
SECURE_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
# QEMU finds them by itself; Debian 12 has them in the first place, Debian 13 in the second.
IPXE_ROMS = (Path("/usr/lib/ipxe/qemu/pxe-virtio.rom"), Path("/usr/share/qemu/pxe-virtio.rom"))

# Writes 0x10 to the debug port, which ends QEMU with status 0x21: mov al,0x10; out 0xf4,al; hlt
_PROBE_SECTOR = bytes([0xB0, 0x10, 0xE6, 0xF4, 0xF4]).ljust(510, b"\0") + b"\x55\xaa"
_PROBE_STATUS = 0x21
_SECTOR_SECONDS = 3.0
_BOOT_MANAGER = b"BdsDxe"  # what OVMF's boot manager begins its lines with
_FIRMWARE_SECONDS = 10.0  # it takes one or two in KVM


class Firmware(StrEnum):
    """What a virtual machine starts with."""

    BIOS = "bios"
    UEFI = "uefi"
    UEFI_HTTP = "uefi-http"  # HTTP Boot instead of PXE
    UEFI_SECURE = "uefi-secure"  # Secure Boot with Microsoft's keys


def check_tools(kinds: set[Firmware]) -> None:
    """Raise LabError naming the package when QEMU or a firmware is missing."""
    if shutil.which(QEMU) is None:
        raise LabError(f"the lab needs {QEMU}: apt-get install qemu-system-x86")
    for kind in sorted(kinds - {Firmware.BIOS}):
        missing = next((path for path in _images(kind) if not path.exists()), None)
        if missing is not None:
            raise LabError(f"the lab needs {missing}: apt-get install ovmf")
    if Firmware.BIOS in kinds and not any(path.exists() for path in IPXE_ROMS):
        raise LabError(f"the lab needs {IPXE_ROMS[0].name}: apt-get install ipxe-qemu")


def arguments(kind: Firmware, home: Path) -> list[str]:
    """QEMU's arguments for `kind`; the UEFI variables are kept in `home` and survive a power cycle."""
    if kind is Firmware.BIOS:
        return ["-machine", "pc,graphics=off"]  # graphics=off: SeaBIOS and iPXE talk to the serial port
    code, blank = _images(kind)
    variables = home / "vars.fd"
    if not variables.exists():
        shutil.copyfile(blank, variables)
    secure = kind is Firmware.UEFI_SECURE
    command = [
        "-machine", f"q35,smm={'on' if secure else 'off'}",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
        "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
        "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",
    ]  # fmt: skip
    if secure:
        command += ["-global", "driver=cfi.pflash01,property=secure,value=on",
                    "-global", "ICH9-LPC.disable_s3=1"]  # fmt: skip
    if kind is Firmware.UEFI_HTTP:
        command += ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"]
    return command


def _images(kind: Firmware) -> tuple[Path, Path]:
    """The code of a UEFI, and what its variables are in a new machine."""
    return (SECURE_CODE, SECURE_VARS) if kind is Firmware.UEFI_SECURE else (OVMF_CODE, OVMF_VARS)


def nic_rom(kind: Firmware) -> str:
    """The `romfile` property for a network card."""
    return "" if kind is Firmware.BIOS else ",romfile="


@cache
def accelerator() -> list[str]:
    """QEMU's arguments for the fastest accelerator that was seen to work on this host.

    /dev/kvm existing proves nothing: nested virtualisation can accept a guest and then hang it, or run a boot
    sector and stop at the first floating-point instruction. So KVM is used only after a boot sector ran to
    its end in it, and a whole UEFI to the place where it would boot something.
    """
    if Path("/dev/kvm").exists() and _runs_a_sector() and _runs_a_firmware():
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


def _runs_a_sector() -> bool:
    with tempfile.NamedTemporaryFile(prefix="bootsrv-kvm-") as sector:
        sector.write(_PROBE_SECTOR)
        sector.flush()
        command = [
            QEMU, "-accel", "kvm", "-machine", "pc", "-m", "32", "-nodefaults", "-display", "none",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive", f"file={sector.name},format=raw,if=ide,snapshot=on",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECTOR_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == _PROBE_STATUS


def _runs_a_firmware() -> bool:
    """Whether OVMF gets to its boot manager. QEMU stays, paused, when KVM gives up, and says so on stderr."""
    if not OVMF_CODE.exists():
        return False
    command = [
        QEMU, "-accel", "kvm", "-cpu", "host", "-machine", "q35,smm=off", "-m", "128",
        "-nodefaults", "-display", "none", "-serial", "stdio",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}",
        "-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={OVMF_VARS}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as guest:
        assert guest.stdout is not None
        try:
            return _said(guest.stdout.fileno(), _BOOT_MANAGER, b"KVM internal error", _FIRMWARE_SECONDS)
        finally:
            guest.kill()


def _said(source: int, good: bytes, bad: bytes, seconds: float) -> bool:
    """Whether `good` is read before `bad`, the end, or the end of the time."""
    end, text = time.monotonic() + seconds, b""
    while bad not in text and (left := end - time.monotonic()) > 0:
        if select.select([source], [], [], left)[0]:
            more = os.read(source, 4096)
            text += more
            if good in text or not more:
                return good in text
    return False
