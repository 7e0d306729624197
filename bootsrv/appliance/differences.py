"""What a change of a registration changed, in words: for the event, and for whoever made it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bootsrv.model import Node

FIELDS = ("name", "address", "method", "image", "disk", "layout", "profile", "mode")
ROOT = ("root", "writes", "paths", "limit")


def changes(before: Node, after: Node) -> list[str]:
    """One phrase for each thing that differs: `image debian -> compute`, `groups +rack4 -rack3`."""
    found = [_pair(key, getattr(before, key), getattr(after, key)) for key in FIELDS]
    found += [_members("mac", before.macs, after.macs), _members("groups", before.groups, after.groups)]
    found += [_pair(key, getattr(before.diskless, key), getattr(after.diskless, key)) for key in ROOT]
    found += _options(before.options, after.options)
    return [phrase for phrase in found if phrase]


def _pair(key: str, before: object, after: object) -> str:
    return "" if before == after else f"{key} {_word(before)} -> {_word(after)}"


def _word(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value) or "none"
    return "none" if value is None else str(value)


def _members(key: str, before: Sequence[str], after: Sequence[str]) -> str:
    signs = [f"+{one}" for one in after if one not in before]
    signs += [f"-{one}" for one in before if one not in after]
    if not signs and tuple(before) != tuple(after):
        signs = [f"{after[0]} first"]  # of the same MACs another one leads
    return f"{key} {' '.join(signs)}" if signs else ""


def _options(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [
        _pair(f"option {name}", before.get(name), after.get(name)) for name in sorted({*before, *after})
    ]
