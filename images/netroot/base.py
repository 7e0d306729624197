"""The lean part of the imager: Python, busybox, kmod, mke2fs and the libraries they need, without its
kernel's modules, boot loaders and disk tools. What a machine needs until its root is mounted.

The law: what a kept program needs is kept, as its ELF headers say; a program that is missing fails here and
not on the node.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

import zstandard

from images.errors import BadInput
from images.imager import elf
from images.imager.cpio import Entry
from images.imager.globs import compile_globs

KEEP = compile_globs(
    [
        "{bin,sbin,lib,lib64,dev,dev/console,dev/null}", "usr/lib64/**",
        "etc/mke2fs.conf", "etc/{passwd,group}",
        "usr/bin/{busybox,kmod,python3,python3.*}",
        "usr/sbin/{modprobe,mke2fs,mkfs.ext4,e2fsck,fsck.ext4,resize2fs}",
        "usr/lib/bootsrv/udhcpc.script", "usr/lib/python3.*/**",
    ]
)  # fmt: skip
DROP = compile_globs(
    [
        "usr/lib/python3.*/{tarfile,zipfile/**,difflib,pickle*,logging/handlers}.pyc",
        "usr/lib/python3.*/{html/**,http/cookiejar.pyc,http/server.pyc,urllib/request.pyc,_pyio.pyc,tomllib/**}",
        "usr/lib/python3.*/lib-dynload/{_ctypes_test,_interp*,_multibytecodec,_lzma,_bz2}*",
    ]
)
DLOPEN = ("libcrypto.so.3", "libzstd.so.1", "libgcc_s.so.1")
NEEDED = ("usr/bin/busybox", "usr/bin/kmod", "usr/bin/python3", "usr/sbin/mke2fs", "usr/sbin/e2fsck")
_HEADER = 110


def lean(initrd: Path) -> list[Entry]:
    """Entries of the imager's first archive that are kept, parents first. Raises BadInput, OSError."""
    entries = {entry.name: entry for entry in read(_unpacked(initrd))}
    missing = [name for name in NEEDED if name not in entries]
    if missing:
        raise BadInput(f"{initrd} has no /{missing[0]}: run `./run setup`")
    kept = {name for name in entries if KEEP.fullmatch(name) and not DROP.fullmatch(name)}
    kept |= {
        name
        for name, entry in entries.items()
        if name.startswith(("usr/bin/", "usr/sbin/")) and entry.data == b"busybox"
    }
    kept |= _libraries(entries, kept)
    folders = {str(parent) for name in kept for parent in Path(name).parents} - {"."}
    return [entry for name, entry in entries.items() if name in kept or name in folders]


def _unpacked(initrd: Path) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(initrd.read_bytes())
    except zstandard.ZstdError as error:
        raise BadInput(f"{initrd} is damaged ({error}): run `./run setup`") from error


def read(data: bytes) -> Iterator[Entry]:
    """The entries of a "newc" archive, up to its trailer. Raises BadInput for what is none."""
    at = 0
    while True:
        header = data[at : at + _HEADER]
        if len(header) < _HEADER or not header.startswith(b"070701"):
            raise BadInput("not an archive that a kernel unpacks")
        try:
            numbers = [int(header[start : start + 8], 16) for start in range(6, _HEADER, 8)]
        except ValueError as error:
            raise BadInput(f"a damaged archive: {error}") from error
        mode, size, device, length = numbers[1], numbers[6], (numbers[9], numbers[10]), numbers[11]
        name = data[at + _HEADER : at + _HEADER + length - 1].decode("utf-8", "surrogateescape")
        start = (at + _HEADER + length + 3) & ~3
        if name == "TRAILER!!!":
            return
        yield Entry(name, mode, data[start : start + size], None, device)
        at = (start + size + 3) & ~3


def _libraries(entries: dict[str, Entry], kept: set[str]) -> set[str]:
    """What the kept programs need, and what that needs in turn; links and what they point at."""
    places = {name.rpartition("/")[2]: name for name in entries if ".so" in name}
    found: set[str] = set()
    waiting = [*kept, *(places[name] for name in DLOPEN if name in places)]
    while waiting:
        name = waiting.pop()
        if name in found or name not in entries:
            continue
        found.add(name)
        entry = entries[name]
        if entry.mode & 0o170000 == 0o120000:
            target = posixpath.join("/", posixpath.dirname(name), entry.data.decode())
            waiting.append(posixpath.normpath(target).lstrip("/"))
        elif entry.data[:4] == b"\x7fELF":
            for library in elf.needed(entry.data):
                if library not in places:
                    raise BadInput(f"the imager's /{name} needs {library}: run `./run setup`")
                waiting.append(places[library])
    return found
