"""Checks any cloud-config (user-data of a ready image): YAML, every key that cloud-init knows, and the shape
of those that decide whether a machine can be reached.

The schema is ours, from cloud-init's reference; the tests hold it against cloud-init's own. cloud-init warns
of keys that it does not know and goes on; here they are errors.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from pxe.answers.cloud.check import finding_of, opened
from pxe.answers.errors import Finding


@cache
def _schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("cloud-config.schema.json").read_text())
    return found


@cache
def _keys() -> frozenset[str]:
    return frozenset(_schema()["properties"])


@cache
def _validator() -> Any:
    return jsonschema.Draft7Validator(_schema())


def check(text: str) -> list[Finding]:
    """What is wrong with the file, by line."""
    found = opened(text)
    if isinstance(found, Finding):
        return [found]
    values, lines = found
    if not isinstance(values, dict):
        return [Finding("must be a mapping of keys", line=1)]
    unknown = [key for key in values if key not in _keys()]
    known = {key: value for key, value in values.items() if key not in unknown}
    wrong = [finding_of(error, lines, ()) for error in _validator().iter_errors(known)]
    return [_unknown(key, text) for key in unknown] + wrong


def _unknown(key: Any, text: str) -> Finding:
    near = difflib.get_close_matches(str(key), _keys(), 1)
    line = next((number for number, line in enumerate(text.splitlines(), 1) if line.startswith(f"{key}:")), 0)
    return Finding(f"cloud-init knows no {key}" + (f"; is it {near[0]}?" if near else ""), str(key), line)
