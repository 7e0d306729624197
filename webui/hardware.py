"""A machine's inventory in words: two short lines for its card, a table for its page.

The facts come from the node itself, so nothing in them is trusted to have the documented shape: what is
missing or of another type is left out, never an error. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.show import size

Rows = list[tuple[str, list[str]]]


def brief(facts: Mapping[str, Any]) -> list[str]:
    """What one would say about it in a phrase: maker and product; then memory, processor, disks."""
    maker = _maker(facts)
    memory = _memory(facts) and f"{_memory(facts)} memory"
    parts = [text for text in (memory, _processor(facts), _disks_together(facts)) if text]
    return [line for line in (maker, " · ".join(parts)) if line]


def table(facts: Mapping[str, Any]) -> Rows:
    """Everything worth knowing, as (label, lines)."""
    dmi = _map(facts.get("dmi"))
    rows: Rows = [
        ("Machine", [_maker(facts)]),
        ("Serial", [_text(dmi.get("serial"))]),
        ("UUID", [_text(dmi.get("uuid"))]),
        ("BIOS", [_text(dmi.get("bios_version"))]),
        ("Processor", [_processor(facts)]),
        ("Memory", [_memory(facts)]),
        ("Disks", [_disk(disk) for disk in _maps(facts.get("disks"))]),
        ("Network", [_interface(port) for port in _maps(facts.get("interfaces"))]),
        ("Imager", [_text(facts.get("imager"))]),
    ]
    return [(label, kept) for label, lines in rows if (kept := [line for line in lines if line])]


def disk_choices(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what the registry stores, what the person reads) for every disk that could be imaged."""
    choices = []
    for disk in _maps(facts.get("disks")):
        path, serial = _text(disk.get("path")), _text(disk.get("serial"))
        if path and disk.get("read_only") is not True:
            choices.append((f"serial:{serial}" if serial else path, _disk(disk)))
    return choices


def _maker(facts: Mapping[str, Any]) -> str:
    dmi = _map(facts.get("dmi"))
    return " ".join(part for part in (_text(dmi.get("vendor")), _text(dmi.get("product"))) if part)


def _memory(facts: Mapping[str, Any]) -> str:
    memory = facts.get("memory")
    return size(memory) if isinstance(memory, int) and memory > 0 else ""


def _processor(facts: Mapping[str, Any]) -> str:
    cpu = _map(facts.get("cpu"))
    model, count = _text(cpu.get("model")), cpu.get("count")
    cores = f"{count} × " if isinstance(count, int) and count > 0 else ""
    return f"{cores}{model}" if model else (f"{count} CPUs" if cores else "")


def _disks_together(facts: Mapping[str, Any]) -> str:
    disks = [disk for disk in _maps(facts.get("disks")) if isinstance(disk.get("size"), int)]
    return " + ".join(f"{size(disk['size'])} disk" for disk in disks[:3]) + (
        " + more" if len(disks) > 3 else ""
    )


def _disk(disk: Mapping[str, Any]) -> str:
    room = disk.get("size")
    parts = [
        _text(disk.get("path")),
        size(room) if isinstance(room, int) else "",
        _text(disk.get("model")),
        _text(disk.get("serial")),
        _text(disk.get("transport")),
    ]
    return " · ".join(part for part in parts if part)


def _interface(port: Mapping[str, Any]) -> str:
    speed, link = port.get("speed"), port.get("link")
    parts = [
        _text(port.get("name")),
        _text(port.get("mac")),
        _text(port.get("driver")),
        f"{speed} Mbit/s" if isinstance(speed, int) and speed > 0 else "",
        {True: "link up", False: "no link"}.get(link, "") if isinstance(link, bool) else "",
    ]
    return " · ".join(part for part in parts if part)


def _text(value: Any) -> str:
    return value.strip()[:200] if isinstance(value, str) else ""


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)][:64] if isinstance(value, list) else []
