"""Writes plain values as TOML: what the standard library reads and does not write.

Only what profiles hold: text, whole numbers, truth values, lists and tables. Text with line breaks becomes a
multi-line literal or basic string, so that scripts stay readable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
Table = Mapping[str, Any]


def as_toml(values: Table) -> str:
    """The document. Tables and lists of tables come after plain values, each under its own header."""
    return "\n".join(_table(values, ())).strip("\n") + "\n"


def _table(values: Table, path: tuple[str, ...]) -> Iterator[str]:
    deep = {name: value for name, value in values.items() if _is_deep(value)}
    for name, value in values.items():
        if name not in deep:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in deep.items():
        inner = (*path, name)
        header = ".".join(map(_key, inner))
        for table in [value] if isinstance(value, Mapping) else value:
            yield ""
            yield f"[{header}]" if isinstance(value, Mapping) else f"[[{header}]]"
            yield from _table(table, inner)


def _is_deep(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _key(name: str) -> str:
    return name if _BARE.match(name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    text = str(value)
    if "\n" in text and "'''" not in text and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        return f"'''\n{text}'''"
    return _string(text)


def _string(text: str) -> str:
    """JSON's escapes are TOML's; what JSON leaves as it is and TOML forbids is DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
