"""Imported networks as a piece of bootsrv.toml. The law: what is printed loads to the same values. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from ipaddress import IPv4Network
from typing import Any

from bootsrv.importing.imported import Imported


def snippet(found: Imported, known: Collection[IPv4Network] = ()) -> str:
    """Lines for bootsrv.toml: interfaces, domain, appliance options, and the subnets not `known` yet.

    "" when there is nothing to say.
    """
    lines: list[str] = []
    if found.interfaces:
        lines.append(f"interfaces = {_value(list(found.interfaces))}")
    if found.domain:
        lines.append(f"domain = {_value(found.domain)}")
    if found.options:
        lines += ["", "[dhcp]", f"options = {_table(found.options)}"]
    for subnet in found.subnets:
        if subnet.cidr in known:
            continue
        lines += ["", "[[subnets]]"]
        for key, value in subnet.table().items():
            remark = ""
            if key == "mode" and value == "authoritative":
                remark = '  # "proxy" as long as the old server answers'
            text = _table(value) if isinstance(value, Mapping) else _value(value)
            lines.append(f"{key} = {text}{remark}")
    return "\n".join(lines).strip() + "\n" if lines else ""


def _table(values: Mapping[str, Any]) -> str:
    """An inline table; option names are bare keys."""
    return "{ " + ", ".join(f"{key} = {_value(value)}" for key, value in values.items()) + " }"


def _value(value: Any) -> str:
    """One value. TOML's basic strings are JSON's, but for DEL, which TOML 1.0 wants escaped too."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
