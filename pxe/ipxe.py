"""Writes iPXE scripts. Pure.

The law: whatever a value holds, it cannot break out of its place: a newline would start a command, `${` would
be expanded, `||` and `&&` would split the line. Values that cannot be written safely are refused with
ValueError; iPXE has no quoting that its `kernel` command respects, so checking is the only way.

Every script that fails shows why, waits, and asks the server again: what the server wants may have changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FILE = "script.ipxe"
RETRY_SECONDS = 10
UEFI_LOADER = "\\EFI\\bootsrv\\grubx64.efi"  # where imaging puts it on the EFI system partition
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[!#-\[\]-~]+")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNSAFE = re.compile(r"\$\{|[^\x20-\x7e]")
_OPERATORS = {"||", "&&"}


def kernel(
    kernel_url: str, initrd_urls: Sequence[str], cmdline: str, note: str, retry_url: str | None, failure: str
) -> str:
    """Boot a kernel with initial RAM disks. `cmdline` is its arguments, one line of printable ASCII.

    A RAM disk is named after the last part of its URL; UEFI kernels need `initrd=THAT-NAME` in `cmdline`.
    `failure` is said when it does not start, and `retry_url` (this script's own) asked again; None: the same
    is tried again. Raises ValueError for what cannot be written safely.
    """
    disks = [(_url(url), url.partition("?")[0].rpartition("/")[2] or "initrd.img") for url in initrd_urls]
    return _script(
        note,
        [
            "imgfree",
            f"kernel {_url(kernel_url)} {_arguments(cmdline)} || goto failed",
            *(f"initrd --name {name} {url} || goto failed" for url, name in disks),
            "boot || goto failed",
        ],
        failure,
        retry_url,
    )


def local(note: str = "", retry_url: str | None = None) -> str:
    """Boot the machine's own disk.

    UEFI: a disk with our boot loader on it is started directly (drive 0 means any, in a recent iPXE). Leaving
    iPXE with an error, as other disks need, makes the firmware go on with its next boot option: after PXE
    that is often HTTP Boot on the same card, which OVMF gives 60 s of silence before it tries the disk.
    BIOS: an `exit` would often end in "no more devices", so the first disk's boot sector is started.
    `--no-describe`: an iBFT table from a network boot that isn't one confuses Windows and some Linux initrds.
    """
    return _script(
        note,
        [
            "iseq ${platform} efi || goto bios",
            f"sanboot --no-describe --drive 0 --filename {UEFI_LOADER} || exit 1",
            ":bios",
            "sanboot --no-describe --drive 0x80 || goto failed",
        ],
        "the first disk does not boot",
        retry_url,
    )


def handover(mac: str, url: str) -> str:
    """For an iPXE that was started with the firmware's DHCP answer still in its hands (autoexec.ipxe): open
    the card with this MAC, as the firmware left it, and go to the script at `url`. Raises ValueError.

    Whatever is not as expected ends in `autoboot`, which is what iPXE does without this script.
    """
    if not _MAC.fullmatch(mac):
        raise ValueError(f"not a MAC address: {mac!r}")
    lines = [
        "set card:int32 0",
        ":next",
        f"iseq ${{net${{card}}/mac}} {mac} && goto found ||",
        "inc card",
        "iseq ${card} 16 || goto next",
        "goto usual",
        ":found",
        # Without an address of the firmware's there is nothing to save.
        "isset ${net${card}/ip} || goto usual",
        "ifopen net${card} || goto usual",
        f"chain --replace --autofree {_url(url)} ||",
        ":usual",
        "autoboot",
    ]
    return "\n".join(["#!ipxe", *lines, ""])


def tell_serial(url: str, name: str) -> str:
    """Ask `url`, which has a query already, with the machine's serial number (SMBIOS) added to it as `name`.
    Raises ValueError."""
    if not name.isidentifier() or "?" not in url:
        raise ValueError(f"not a query that can be added to: {url!r} {name!r}")
    line = f"chain --replace --autofree {_url(url)}&{name}=${{serial:uristring}} || goto failed"
    return _script("", [line], "the server did not answer", url)


def message(text: str, retry_url: str, seconds: int = RETRY_SECONDS) -> str:
    """Show one line, wait, and ask `retry_url` for a new script."""
    lines = [f"sleep {int(seconds)}", f"chain --replace --autofree {_url(retry_url)} || goto failed"]
    return _script(text, lines, "the server did not answer", retry_url)


def _script(note: str, lines: list[str], failure: str, retry_url: str | None) -> str:
    again = [f"chain --replace --autofree {_url(retry_url)} ||"] if retry_url else []
    return "\n".join(
        [
            "#!ipxe",
            ":start",
            *_echo(note),
            *lines,
            ":failed",
            # The line above this one on the screen is iPXE's own, with the reason in words.
            f"echo bootsrv: {failure} (error ${{errno}}), trying again in {RETRY_SECONDS} s",
            f"sleep {RETRY_SECONDS}",
            *again,
            "goto start",
            "",
        ]
    )


def _echo(text: str) -> list[str]:
    """A line for a person; what would be special becomes harmless, since it is only shown."""
    clean = re.sub(r"[^\x20-\x7e]", "?", text).replace("${", "$ {")
    words = ["|" if word == "||" else "&" if word == "&&" else word for word in clean.split()]
    return [f"echo bootsrv: {' '.join(words)}"] if words else []


def _url(url: str) -> str:
    if not _URL.fullmatch(url) or _UNSAFE.search(url):
        raise ValueError(f"not a URL that an iPXE script can hold: {url!r}")
    return url


def _arguments(cmdline: str) -> str:
    if _UNSAFE.search(cmdline) or _OPERATORS & set(cmdline.split()):
        raise ValueError(f"not a kernel command line that an iPXE script can hold: {cmdline!r}")
    return cmdline
