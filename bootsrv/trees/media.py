"""What a tree can be made of: an ISO, a directory, or what a Debian package holds in one directory.

Each is a `pxe.trees.facts.Medium` to look at, and pours its files into a `TreeWriter`. ISO 9660 is read by
bsdtar (Rock Ridge, else Joliet); nothing is mounted, nothing is unpacked by another's rules.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

from bootsrv.errors import Invalid
from bootsrv.trees.writer import TreeWriter
from images.importing.from_iso import MAGIC, PLACE
from images.importing.tool import Tool
from pxe.trees.facts import Medium

_MOST_TEXT = 64 << 20
_BSDTAR = "libarchive-tools"
Wanted = Callable[[str], bool]


class Source(Medium, Protocol):
    """A medium that can be copied."""

    @property
    def size(self) -> int | None:
        """Bytes, roughly; None: not known."""

    def pour(self, writer: TreeWriter, wanted: Wanted) -> None:
        """All wanted files. Raises BadInput, Invalid, OSError."""


def open_source(path: Path) -> Source:
    """The medium at `path`. Raises Invalid when it is neither an ISO nor a directory."""
    if path.is_dir():
        return Folder(path)
    try:
        with path.open("rb") as file:
            start = file.read(PLACE + len(MAGIC))
    except FileNotFoundError as error:
        raise Invalid(f"{path}: no such file, and no tree that is known by this name") from error
    if start[PLACE:] == MAGIC:
        return Iso(path)
    raise Invalid(f"{path} is neither an ISO 9660 image nor a directory")


class Folder:
    """A directory; links are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    @cached_property
    def _entries(self) -> dict[str, os.stat_result]:
        found: dict[str, os.stat_result] = {}
        self._walk("", found)
        return found

    def _walk(self, name: str, found: dict[str, os.stat_result]) -> None:
        with os.scandir(self._root / name) as entries:
            for entry in entries:
                relative = f"{name}/{entry.name}" if name else entry.name
                found[relative] = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found[relative].st_mode):
                    self._walk(relative, found)

    @cached_property
    def names(self) -> Collection[str]:
        return {name for name, info in self._entries.items() if not stat.S_ISDIR(info.st_mode)}

    @property
    def size(self) -> int | None:
        return sum(info.st_size for info in self._entries.values() if stat.S_ISREG(info.st_mode))

    def text(self, name: str) -> str:
        if name not in self.names or not stat.S_ISREG(self._entries[name].st_mode):
            return ""
        with (self._root / name).open("rb") as file:
            return file.read(_MOST_TEXT).decode("utf-8", "replace")

    def pour(self, writer: TreeWriter, wanted: Wanted) -> None:
        for name, info in self._entries.items():
            if stat.S_ISDIR(info.st_mode):
                writer.directory(name)
            elif not wanted(name):
                continue
            elif stat.S_ISREG(info.st_mode):
                with (self._root / name).open("rb") as file:
                    writer.file(name, file)
            elif stat.S_ISLNK(info.st_mode):
                writer.link(name, os.readlink(self._root / name))  # noqa: PTH115 - as text, not as a Path
            else:
                writer.special(name)


class Iso:
    """An ISO 9660 image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int | None = path.stat().st_size

    @cached_property
    def names(self) -> Collection[str]:
        with Tool(["bsdtar", "-tf", str(self.path)], _BSDTAR) as tool:
            lines = tool.output.read().decode("utf-8", "surrogateescape").splitlines()
        return {line.removeprefix("./") for line in lines}

    def text(self, name: str) -> str:
        if name not in self.names:
            return ""
        with Tool(["bsdtar", "-xOf", str(self.path), "--", name], _BSDTAR) as tool:
            return tool.output.read(_MOST_TEXT).decode("utf-8", "replace")

    def pour(self, writer: TreeWriter, wanted: Wanted) -> None:
        with Tool(["bsdtar", "-cf", "-", "--format=pax", f"@{self.path}"], _BSDTAR) as tool:
            pour_tar(tool.output, writer, wanted)


class Package:
    """The directory `inside` of a Debian package, as if it were a medium."""

    def __init__(self, deb: Path, inside: str) -> None:
        self._command: Sequence[str] = ["dpkg-deb", "--fsys-tarfile", str(deb)]
        self._inside = inside.strip("/") + "/"
        self.size: int | None = None

    @cached_property
    def names(self) -> Collection[str]:
        found = set()
        with Tool(self._command, "dpkg") as tool, tarfile.open(fileobj=tool.output, mode="r|") as tar:
            for member in tar:
                if (name := self._relative(member.name)) and not member.isdir():
                    found.add(name)
        return found

    def text(self, name: str) -> str:
        if name not in self.names:
            return ""
        with Tool(self._command, "dpkg") as tool, tarfile.open(fileobj=tool.output, mode="r|") as tar:
            text = ""
            for member in tar:
                if self._relative(member.name) == name and (file := tar.extractfile(member)) is not None:
                    text = file.read(_MOST_TEXT).decode("utf-8", "replace")
        return text

    def pour(self, writer: TreeWriter, wanted: Wanted) -> None:
        with Tool(self._command, "dpkg") as tool:
            pour_tar(tool.output, writer, wanted, self._relative)

    def _relative(self, name: str) -> str:
        plain = name.removeprefix("./")
        return plain.removeprefix(self._inside) if plain.startswith(self._inside) else ""


def pour_tar(
    stream: IO[bytes], writer: TreeWriter, wanted: Wanted, rename: Callable[[str], str] = lambda name: name
) -> None:
    """A tar's members into the tree. Raises Invalid when the stream is no tar or ends early."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
            for member in tar:
                name = rename(member.name)
                if not name:
                    continue
                if member.isdir():
                    writer.directory(name)
                elif wanted(name.removeprefix("./")):
                    _member(tar, member, name, writer, rename)
    except tarfile.TarError as error:
        raise Invalid(f"the medium cannot be read to its end: {error}") from error


def _member(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    name: str,
    writer: TreeWriter,
    rename: Callable[[str], str],
) -> None:
    if member.issym():
        writer.link(name, member.linkname)
    elif member.islnk():  # another name of a file of this medium
        aim = rename(member.linkname).removeprefix("./")
        writer.link(name, os.path.relpath(f"/{aim}", os.path.dirname(f"/{name.removeprefix('./')}")))  # noqa: PTH120
    elif member.isreg() and (file := tar.extractfile(member)) is not None:
        writer.file(name, file)
    else:
        writer.special(name)
