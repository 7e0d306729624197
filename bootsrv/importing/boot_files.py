"""What an old configuration says about boot files, and why it is not taken over unless asked for. Pure.

bootsrv decides per request what a machine loads and from where; a `filename "pxelinux.0"` of the old server
would only reach systems that bootsrv has nothing to boot for, and a `next-server` would name the old machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from bootsrv.importing.imported import (
    Imported,
    ImportedGroup,
    ImportedNode,
    ImportedSubnet,
    Kind,
    Note,
    Options,
)

BOOT_OPTIONS = ("bootfile-name", "tftp-server-name", "tftp-server-address")

_Holder = TypeVar("_Holder", ImportedSubnet, ImportedGroup, ImportedNode)


def without_boot_files(found: Imported) -> Imported:
    """The same without boot file, server name and server address, and a note for each place that had them."""
    notes: list[Note] = []

    def cleared(options: Options, line: int, where: str) -> Options:
        dropped = [name for name in BOOT_OPTIONS if name in options]
        if not dropped:
            return options
        values = ", ".join(f"{name} {_shown(options[name])}" for name in dropped)
        text = f"{where}: {values}: bootsrv itself decides what a machine loads (--keep-boot-files sets them)"
        notes.append(Note(found.source, line, Kind.CHANGED, text))
        return {name: value for name, value in options.items() if name not in dropped}

    def each(holders: tuple[_Holder, ...], what: str) -> tuple[_Holder, ...]:
        return tuple(
            replace(item, options=cleared(item.options, item.line, f"{what} {_label(item)}"))
            for item in holders
        )

    options = cleared(found.options, 1, "all machines")
    subnets, groups = each(found.subnets, "subnet"), each(found.groups, "group")
    nodes = each(found.nodes, "node")
    merged = tuple(sorted((*found.notes, *notes), key=lambda note: note.line))
    return replace(found, options=options, subnets=subnets, groups=groups, nodes=nodes, notes=merged)


def _label(item: ImportedSubnet | ImportedGroup | ImportedNode) -> str:
    return str(item.cidr) if isinstance(item, ImportedSubnet) else item.name


def _shown(value: object) -> str:
    return " ".join(str(item) for item in value) if isinstance(value, list) else str(value)
