"""Checks any Ignition config: JSON, the specification's shape, and what Ignition refuses at the first boot.

Ignition's own validator is asked (`validator`). Rules of ours come before it: keys that it does not know are
errors here, since it would pass over them, and there are files that are newer than it. Lines are found
because JSON is YAML.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec
import yaml

from pxe.answers.cloud.check import LOADER, lines_of
from pxe.answers.errors import Finding
from pxe.answers.ignition.spec import NEWEST, Config, Storage
from pxe.answers.ignition.validator import validate

_VERSION = re.compile(r"3\.(\d+)\.0\Z")
_UNIT = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)\Z"
)
_NUMBERS = ("0", "1", "4", "5", "6", "10")
_LEVELS = frozenset(("linear", "stripe", "mirror", *_NUMBERS, *(f"raid{number}" for number in _NUMBERS)))
_FORMATS = frozenset(("ext4", "btrfs", "xfs", "vfat", "swap", "none"))


def check(text: str) -> list[Finding]:
    """What is wrong with the file, by line."""
    try:
        config = msgspec.json.decode(text, type=Config)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        path = where.strip("`.")
        return [Finding(what.replace("`", ""), path, _line(text, path))]
    except msgspec.DecodeError as error:
        found = re.search(r"\(byte (\d+)\)", str(error))
        line = text.encode()[: int(found[1])].count(b"\n") + 1 if found else 0
        return [Finding(f"is no JSON: {error}", line=line)]
    ours = [Finding(reason, path, _line(text, path)) for path, reason in _faults(config)]
    lines = {one.line for one in ours}
    return ours + [one for one in validate(text) if one.warning or one.line not in lines]


def _line(text: str, path: str) -> int:
    try:
        lines = lines_of(yaml.compose(text, LOADER))
    except yaml.YAMLError:
        return 0
    steps: list[str | int] = [int(one) if one.isdigit() else one for one in re.findall(r"[^.\[\]]+", path)]
    while steps and tuple(steps) not in lines:
        steps.pop()
    return lines.get(tuple(steps), 0)


def _faults(config: Config) -> Iterator[tuple[str, str]]:
    version = _VERSION.match(config.ignition.version)
    if not version or int(version[1]) > NEWEST[1]:
        yield "ignition.version", f"must be 3.0.0 to {NEWEST[0]}.{NEWEST[1]}.0"
    yield from _storage(config.storage or Storage())
    for number, unit in enumerate(config.systemd.units if config.systemd else ()):
        if not _UNIT.match(unit.name):
            yield f"systemd.units[{number}].name", f"{unit.name} is no name of a unit"
    users = config.passwd.users if config.passwd else ()
    yield from _twice("passwd.users", (user.name for user in users))
    yield from _twice(
        "systemd.units", (unit.name for unit in (config.systemd.units if config.systemd else ()))
    )


def _storage(storage: Storage) -> Iterator[tuple[str, str]]:
    placed = [*storage.files, *storage.directories, *storage.links]
    yield from _twice("storage.files", (one.path for one in placed))
    for kind, many in (
        ("files", storage.files),
        ("directories", storage.directories),
        ("links", storage.links),
    ):
        for number, one in enumerate(many):
            if not one.path.startswith("/"):
                yield f"storage.{kind}[{number}].path", "must begin with /"
    for number, disk in enumerate(storage.disks):
        where = f"storage.disks[{number}]"
        if not disk.device.startswith("/"):
            yield f"{where}.device", "must begin with /"
        yield from _twice(f"{where}.partitions", (part.label or "" for part in disk.partitions))
        yield from _twice(f"{where}.partitions", (str(part.number or "") for part in disk.partitions))
        for place, part in enumerate(disk.partitions):
            if len(part.label or "") > 36 or ":" in (part.label or ""):
                yield f"{where}.partitions[{place}].label", "at most 36 characters, no colon"
    for number, raid in enumerate(storage.raid):
        if raid.level not in _LEVELS:
            yield f"storage.raid[{number}].level", f"must be one of {', '.join(sorted(_LEVELS))}"
        if not raid.devices:
            yield f"storage.raid[{number}].devices", "must name some"
    for number, system in enumerate(storage.filesystems):
        if system.format is not None and system.format not in _FORMATS:
            yield f"storage.filesystems[{number}].format", f"must be one of {', '.join(sorted(_FORMATS))}"


def _twice(where: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name, count in Counter(names).items():
        if name and count > 1:
            yield where, f"{name} is there {count} times"


def as_json(values: object) -> str:
    """As it is served: for people, too."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
