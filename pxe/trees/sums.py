"""Which checksums a medium brings for its own files: SHA256SUMS, md5sum.txt, .treeinfo, SUSE's CHECKSUMS.
Pure.

The law: what a medium says of itself is compared, never trusted to be complete; a line that is no checksum is
passed over.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# "HASH  ./name", "HASH *name"
_LINE = re.compile(r"([0-9a-fA-F]{32,128})\s+\*?(?:\./)?(\S.*?)\s*\Z")
_KIND = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
_FILES = {"SHA256SUMS", "SHA512SUMS", "MD5SUMS", "md5sum.txt", "CHECKSUMS"}
KINDS = frozenset(_KIND.values())


@dataclass(frozen=True, slots=True)
class Sum:
    """What one file's bytes should hash to. `kind` as hashlib names it."""

    name: str
    kind: str
    digest: str  # hexadecimal, lower case


def lists(names: Iterable[str]) -> list[str]:
    """The names among these that are lists of checksums: at the top, or in a directory of images."""
    return sorted(name for name in names if name.rpartition("/")[2] in _FILES and name.count("/") < 3)


def parse(text: str, where: str = "") -> Iterator[Sum]:
    """The checksums of one list; names are relative to `where`, the directory that the list lies in."""
    for line in text.splitlines():
        if (found := _LINE.match(line)) is None or (kind := _KIND.get(len(found[1]))) is None:
            continue
        name = posixpath.normpath(posixpath.join(where, found[2]))
        if not name.startswith(("/", "../")):
            yield Sum(name, kind, found[1].lower())
