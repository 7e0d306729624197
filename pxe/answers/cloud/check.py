"""Checks user-data with Ubuntu's `autoinstall`: YAML first, then every key by its schema.

The schema is ours, written from Ubuntu's reference of the keys: the installer's own is under another licence
and comes with no Debian package. The installer ignores keys that it does not know; here they are errors.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from pxe.answers.errors import Finding
from pxe.answers.text import is_hash

_HEADER = "#cloud-config"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it


@cache
def _validator() -> Any:
    schema = json.loads(Path(__file__).with_name("autoinstall.schema.json").read_text())
    return jsonschema.Draft7Validator(schema)


def check(text: str) -> list[Finding]:
    """What is wrong with the file."""
    found = opened(text)
    if isinstance(found, Finding):
        return [found]
    values, lines = found
    if not isinstance(values, dict) or not isinstance(values.get("autoinstall"), dict):
        return [Finding("there is no autoinstall key at the top", line=1)]
    found_all = [
        finding_of(error, lines, ("autoinstall",))
        for error in _validator().iter_errors(values["autoinstall"])
    ]
    identity = values["autoinstall"].get("identity")
    password = identity.get("password") if isinstance(identity, dict) else None
    if isinstance(password, str) and not is_hash(password):
        path = ("autoinstall", "identity", "password")
        found_all.append(Finding("this is no password's hash", ".".join(path), lines.get(path, 0)))
    return found_all


def opened(text: str) -> tuple[Any, dict[tuple[Any, ...], int]] | Finding:
    """A cloud-config file's plain values and their lines, or what keeps it from being read."""
    if wrong := header_wrong(text):
        return wrong
    try:
        return read(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return Finding(str(getattr(error, "problem", error)), line=mark.line + 1 if mark else 0)


def read(text: str) -> tuple[Any, dict[tuple[Any, ...], int]]:
    """A YAML file's plain values, and their lines by their paths. Raises yaml.YAMLError."""
    lines = lines_of(yaml.compose(text, LOADER))
    return yaml.load(text, LOADER), lines  # noqa: S506 - a safe one


def header_wrong(text: str) -> Finding | None:
    """cloud-init tells by the first line what a file is."""
    if text.split("\n", 1)[0].rstrip() != _HEADER:
        return Finding(f"the first line must be {_HEADER}", line=1)
    return None


def finding_of(error: Any, lines: dict[tuple[Any, ...], int], below: tuple[str, ...]) -> Finding:
    """A schema's error as a finding. `below`: where in the file the checked part is."""
    path = (*below, *error.absolute_path)
    near = path
    while near and near not in lines:
        near = near[:-1]
    return Finding(error.message, field=".".join(map(str, path)), line=lines.get(near, 0))


def lines_of(
    node: Any, path: tuple[Any, ...] = (), above: tuple[int, ...] = (), seen: set[int] | None = None
) -> dict[tuple[Any, ...], int]:
    """Where each value starts, by its path; of an anchor that is used often, at its first use. Raises
    yaml.YAMLError for one that holds itself."""
    seen = set() if seen is None else seen
    if id(node) in above:
        raise yaml.YAMLError("an anchor holds itself")
    if node is None or id(node) in seen:
        return {}
    seen.add(id(node))
    found, inside = {path: node.start_mark.line + 1}, (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            found |= lines_of(value, (*path, name), inside, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            found |= lines_of(value, (*path, number), inside, seen)
    return found
