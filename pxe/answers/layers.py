"""From layers of plain values to one profile: defaults < distribution < group < node.

Tables are joined key by key; everything else, lists too, is replaced by the layer above. Texts may hold
`{{ }}` templates over what is known of the node; what is not defined is an error, never an empty string.
Templates are filled in values only, after the layers are joined, so that no value can bring structure along.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import jinja2.sandbox

from pxe.answers.profile import Profile, profile_from
from pxe.answers.snippets import find_snippet
from pxe.errors import SettingError

# Statements and comments get marks that no shell script has: `${#name}` must stay what it is.
_ENGINE = jinja2.sandbox.ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True,
    block_start_string="{{%", block_end_string="%}}", comment_start_string="{{#", comment_end_string="#}}",
)  # fmt: skip
_MOST_FAULTS = 20
_MOST = 1 << 20  # characters of one filled text


def profile_of(layers: Iterable[Mapping[str, Any]], variables: Mapping[str, Any]) -> Profile:
    """The profile of one node. Raises SettingError naming the field."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = joined(values, layer)
    filled = _fill(values, variables, "")
    assert isinstance(filled, dict)
    if isinstance(filled.get("scripts"), list):
        filled["scripts"] = [_with_snippet(one, number) for number, one in enumerate(filled["scripts"])]
    return profile_from(filled)


def faults_of(layers: Iterable[Mapping[str, Any]], variables: Mapping[str, Any]) -> list[SettingError]:
    """Everything that keeps the layers from being a profile, each with its field; at most twenty."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = joined(values, layer)
    values = copy.deepcopy(values)  # the layers stay as they are
    faults: list[SettingError] = []
    while len(faults) < _MOST_FAULTS:
        try:
            profile_of([values], variables)
            break
        except SettingError as error:
            faults.append(error)
            if not _without(values, error.key):
                break
    return faults


def _without(values: Any, field: str) -> bool:
    """Takes the value out, or the whole list that it is in, so that what comes behind it can be looked at."""
    path = re.split(r"\[|\.", field)
    path = path[: next((place for place, name in enumerate(path) if name.endswith("]")), len(path))]
    for name in path[:-1]:
        values = values.get(name) if isinstance(values, dict) else None
    return isinstance(values, dict) and values.pop(path[-1], None) is not None


def joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two layers as one."""
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = joined(old, value) if both else value  # type: ignore[arg-type]
    return result


def _fill(value: Any, variables: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _fill(one, variables, f"{where}.{name}".strip(".")) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(one, variables, f"{where}[{number}]") for number, one in enumerate(value)]
    if not isinstance(value, str) or "{{" not in value:
        return value
    try:
        text = _ENGINE.from_string(value).render(variables)
    except jinja2.TemplateError as error:
        raise SettingError(where, f"{error.message or type(error).__name__}") from error
    except (TypeError, ValueError, ArithmeticError, OverflowError) as error:
        raise SettingError(where, str(error)) from error
    if len(text) > _MOST:
        raise SettingError(where, f"the template makes {len(text)} characters")
    return text


def _with_snippet(step: Any, number: int) -> Any:
    if not isinstance(step, dict) or "snippet" not in step:
        return step
    where = f"scripts[{number}]"
    rest = {name: value for name, value in step.items() if name not in ("snippet", "with")}
    given = step.get("with", {})
    if "text" in rest:
        raise SettingError(where, "has both text and snippet; give one")
    if not isinstance(given, dict) or not all(isinstance(one, str) for one in given.values()):
        raise SettingError(f"{where}.with", "must be a table of texts")
    try:
        return {**rest, "text": find_snippet(str(step["snippet"])).script(given)}
    except SettingError as error:
        raise SettingError(f"{where}.{error.key}", error.reason) from error
