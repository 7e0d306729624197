"""Which systemd services a root starts, and which of them an update touches. Pure.

Enabled is what a .wants or .requires directory links to, the admin's in /etc or the distribution's own; a
link in /etc to /dev/null masks a unit (systemd.unit(5)). A service is touched when its unit file changed,
the program it starts, or a library of that (libraries.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from images.manifest import Entry

ETC = b"etc/systemd/system/"
UNITS = (b"etc/systemd/system/", b"usr/lib/systemd/system/", b"lib/systemd/system/")
_KINDS = (b".service", b".socket", b".timer", b".path", b".mount")
_PREFIXES = "@-:+!"  # of a command line in a unit


class Units(NamedTuple):
    """Unit names that are enabled, names that are masked, and the unit files by path."""

    enabled: frozenset[str]
    masked: frozenset[str]
    files: Mapping[bytes, Entry]


def units(entries: Iterable[Entry]) -> Units:
    """From a tree's entries below UNITS (others are ignored)."""
    enabled, masked, files = set(), set(), {}
    for entry in entries:
        folder, _, name = entry.path.rpartition(b"/")
        if entry.type == "file" and folder + b"/" in UNITS and name.endswith(_KINDS):
            files[entry.path] = entry
        if entry.type != "symlink":
            continue
        if folder.endswith((b".wants", b".requires")):
            enabled.add(name.decode("utf-8", "replace"))
        elif entry.target == b"/dev/null" and entry.path.startswith(ETC):
            masked.add(name.decode("utf-8", "replace"))
    return Units(frozenset(enabled) - masked, frozenset(masked), files)


def unit_file(found: Units, name: str) -> bytes | None:
    """The path of the unit file that counts for a unit; of an instance (x@y) that of its template."""
    stem, at, rest = name.partition("@")
    template = f"{stem}@.{rest.rpartition('.')[2]}" if at else name
    wanted = [folder + each.encode() for folder in UNITS for each in dict.fromkeys((name, template))]
    return next((path for path in wanted if path in found.files), None)


def programs(text: bytes) -> set[bytes]:
    """The paths (without leading slash) that a unit file starts."""
    found = set()
    for line in text.decode("utf-8", "replace").splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key.strip() in ("ExecStart", "ExecStartPre") and value.strip():
            word = value.split()[0].lstrip(_PREFIXES).strip("\"'")
            if word.startswith("/"):
                found.add(word[1:].encode())
    return found


def runs_on(text: bytes) -> bool:
    """Whether what a unit file starts goes on running (a Type=oneshot has done its work)."""
    lines = (line.replace(b" ", b"") for line in text.splitlines())
    return not any(line == b"Type=oneshot" for line in lines)


def with_merged(path: bytes) -> set[bytes]:
    """A path and what it is where /bin, /sbin and /lib are links into /usr (or are not)."""
    if path.startswith(b"usr/"):
        return {path, path[4:]}
    return {path, b"usr/" + path}
