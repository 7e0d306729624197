"""The profile's disks as Ignition makes them: data beside the system, which brings its own root.

Field facts: Ignition mounts nothing by itself at later boots, so each file system has a mount unit beside it;
it knows no LVM. Partitions are found by their labels, whatever the disk is called.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pxe.answers.errors import Finding
from pxe.answers.storage import Disks, Formatted, Partition
from pxe.answers.text import is_line

Say = Callable[[Finding], None]
Values = dict[str, Any]
_UNSAFE = re.compile(r"[^A-Za-z0-9_./-]")


def data_url(text: str) -> str:
    """Text as a URL that carries it (RFC 2397)."""
    return "data:;base64," + base64.b64encode(text.encode()).decode()


class Plan:
    """`storage` and `units` are what Ignition is told."""

    def __init__(self, disks: Disks, secrets: Mapping[str, str], say: Say) -> None:
        self.storage: Values = {}
        self.units: list[Values] = []
        self._secrets, self._say = secrets, say
        self._members: dict[str, str] = {}
        for field, given in (
            ("groups", disks.groups),
            ("volumes", disks.volumes),
            ("automatic", disks.automatic),
        ):
            if given:
                say(
                    Finding(
                        "Ignition knows no LVM, and the system has its own layout; leave it out",
                        f"disks.{field}",
                    )
                )
        self._partitions(disks)
        for number, raid in enumerate(disks.raids):
            where, spares = f"disks.raids[{number}]", raid.spares or 0
            level = (raid.level or "1").lower().removeprefix("raid")
            devices = [self._member(name, where) for name in raid.members]
            self._add("raid", {"name": raid.device, "level": f"raid{level}", "devices": devices,
                               **({"spares": spares} if spares else {})})  # fmt: skip
            self._hold(raid.name, f"/dev/md/{raid.device}", raid, where)

    def _add(self, kind: str, values: Values) -> None:
        self.storage.setdefault(kind, []).append(values)

    def _partitions(self, disks: Disks) -> None:
        wipe = bool(disks.clear and disks.clear.what == "all")
        drives: dict[str, list[tuple[int, Partition]]] = {}
        for number, part in enumerate(disks.partitions):
            if not part.disk:
                self._say(Finding("must name its disk", f"disks.partitions[{number}].disk"))
            if part.keep or part.on_partition:
                self._say(Finding("partitions are made afresh here", f"disks.partitions[{number}]"))
            drives.setdefault(part.disk or "", []).append((number, part))
        for drive, parts in drives.items():
            made = []
            for place, (number, part) in enumerate(sorted(parts, key=lambda one: one[1].grow), 1):
                label = self._label(part.name)
                made.append(
                    {"label": label, "number": place, "sizeMiB": 0 if part.grow else part.size or 512}
                )
                self._hold(part.name, f"/dev/disk/by-partlabel/{label}", part, f"disks.partitions[{number}]")
            device = f"/dev/{drive.removeprefix('/dev/')}"
            self._add("disks", {"device": device, "wipeTable": wipe, "partitions": made})

    def _label(self, name: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-")[:36] or "root"

    def _hold(self, name: str, device: str, what: Formatted, where: str) -> None:
        if what.luks is not None:
            mapped = f"luks-{self._label(name)}"
            key = (what.luks.passphrase or "").removeprefix("secret:")
            if key not in self._secrets or not is_line(self._secrets[key]):
                self._say(Finding(f"there is no secret of one line named {key or '(none)'}", f"{where}.luks"))
            self._add("luks", {"name": mapped, "device": device, "wipeVolume": True,
                               "keyFile": {"source": data_url(self._secrets.get(key, ""))}})  # fmt: skip
            device = f"/dev/mapper/{mapped}"
        if name.startswith(("raid.", "pv.")):
            self._members[name] = device
            if name.startswith("pv."):
                self._say(Finding("Ignition knows no LVM", where))
            return
        if name in ("/", "/boot", "/boot/efi", "/usr"):
            self._say(Finding(f"the system brings its own {name}", where))
        if _UNSAFE.search(name):
            self._say(Finding(f"{name!r} cannot be the name of a mount unit", where))
        kind = "swap" if name == "swap" else what.filesystem or "xfs"
        system: Values = {"device": device, "format": kind, "wipeFilesystem": not what.keep}
        system |= {"path": name} if kind != "swap" else {}
        system |= {"label": what.label} if what.label else {}
        self._add("filesystems", system)
        self.units.append(_mount(name, device, kind, what.mount_options))

    def _member(self, name: str, where: str) -> str:
        if name not in self._members:
            self._say(Finding(f"there is no partition named {name}", where))
        return self._members.get(name, name)


def _mount(name: str, device: str, kind: str, options: str | None) -> Values:
    escaped = "".join(_escaped(name.strip("/") if kind != "swap" else device.strip("/")))
    if kind == "swap":
        text = f"[Swap]\nWhat={device}\n[Install]\nRequiredBy=swap.target\n"
        return {"name": f"{escaped}.swap", "enabled": True, "contents": text}
    more = f"Options={options}\n" if options else ""
    text = f"[Mount]\nWhat={device}\nWhere={name}\nType={kind}\n{more}[Install]\nRequiredBy=local-fs.target\n"
    return {"name": f"{escaped}.mount", "enabled": True, "contents": text}


def _escaped(path: str) -> Iterator[str]:
    """As systemd-escape --path has it."""
    for place, character in enumerate(path):
        if character == "/":
            yield "-"
        elif character.isascii() and (
            character.isalnum() or character in ":_" or (character == "." and place)
        ):
            yield character
        else:
            yield "".join(f"\\x{byte:02x}" for byte in character.encode())
