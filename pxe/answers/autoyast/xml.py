"""Plain values as AutoYaST's XML: every element says its type, as YaST wants it.

`config:type` is understood by all versions; since SLES 15 SP3 it may be written as `t`. The law: what XML 1.0
cannot hold raises ValueError, whatever else is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

SPACE = "http://www.suse.com/1.0/yast2ns"
CONFIG = "http://www.suse.com/1.0/configns"
_STRANGE = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 calls no character


class Symbol(str):
    """A word that YaST takes as one of its own."""


class Items(list[Any]):
    """A list whose elements are called `name`."""

    def __init__(self, name: str, items: Any) -> None:
        super().__init__(items)
        self.name = name


def document(values: Mapping[str, Any]) -> str:
    """The whole file. Raises ValueError naming a character."""
    body = "".join(_element(name, value, 1) for name, value in values.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE profile>\n'
        f'<profile xmlns="{SPACE}" xmlns:config="{CONFIG}">\n{body}</profile>\n'
    )


def _element(name: str, value: Any, depth: int) -> str:
    pad = "  " * depth
    if isinstance(value, Mapping):
        inner = "".join(_element(key, one, depth + 1) for key, one in value.items())
        return f"{pad}<{name}>\n{inner}{pad}</{name}>\n"
    if isinstance(value, Items):
        inner = "".join(_element(value.name, one, depth + 1) for one in value)
        return f'{pad}<{name} config:type="list">\n{inner}{pad}</{name}>\n'
    kind = _kind(value)
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    if strange := _STRANGE.search(text):
        raise ValueError(f"{name}: XML cannot hold the character U+{ord(strange[0]):04X}")
    return f"{pad}<{name}{kind}>{escape(text)}</{name}>\n"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return ' config:type="boolean"'
    if isinstance(value, int):
        return ' config:type="integer"'
    return ' config:type="symbol"' if isinstance(value, Symbol) else ""
