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

_HEADER = "#cloud-config"


@cache
def _validator() -> Any:
    schema = json.loads(Path(__file__).with_name("autoinstall.schema.json").read_text())
    return jsonschema.Draft7Validator(schema)


def check(text: str) -> list[Finding]:
    """What is wrong with the file."""
    if text.split("\n", 1)[0].rstrip() != _HEADER:
        return [Finding(f"the first line must be {_HEADER}", line=1)]
    try:
        values = yaml.safe_load(text)
        lines = _lines(yaml.compose(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return [Finding(str(getattr(error, "problem", error)), line=mark.line + 1 if mark else 0)]
    if not isinstance(values, dict) or not isinstance(values.get("autoinstall"), dict):
        return [Finding("there is no autoinstall key at the top", line=1)]
    return [_finding(error, lines) for error in _validator().iter_errors(values["autoinstall"])]


def _finding(error: Any, lines: dict[tuple[Any, ...], int]) -> Finding:
    path = ("autoinstall", *error.absolute_path)
    near = path
    while near and near not in lines:
        near = near[:-1]
    return Finding(error.message, field=".".join(map(str, path)), line=lines.get(near, 0))


def _lines(node: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], int]:
    """Where each value starts, by its path."""
    found = {path: node.start_mark.line + 1} if node is not None else {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            found |= _lines(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            found |= _lines(value, (*path, number))
    return found
