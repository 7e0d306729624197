"""The layers of one installation, from the lowest to the highest, and which of them a value comes from. Pure.

    facts < defaults < distribution (family, then release) < profile < groups (by name) < node

`facts` is what the registry knows of the node; nobody writes it. The target, on which the distribution's
layers depend, is what the highest layer that names one says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bootsrv.errors import Invalid
from pxe.answers.errors import Finding
from pxe.answers.layers import faults_of, joined, profile_of
from pxe.answers.profile import Profile
from pxe.answers.targets import OLDEST, Target, find_target
from pxe.errors import SettingError

KINDS = ("profile", "defaults", "distribution", "group", "node")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]|(\.)")
FACTS = "facts"


@dataclass(frozen=True, slots=True)
class Ref:
    """Which text: `web` (a profile), `defaults`, `distribution:debian12`, `group:rack3`, `node:n01`; a number
    behind `@` means one of its versions."""

    kind: str
    name: str
    number: int | None = None

    def __str__(self) -> str:
        text = self.kind if self.kind == "defaults" else f"{self.kind}:{self.name}"
        text = self.name if self.kind == "profile" else text
        return f"{text}@{self.number}" if self.number is not None else text


def read_ref(text: str) -> Ref:
    """A text's name as a person writes it. Raises Invalid with the rule."""
    plain, at, number = text.strip().lower().partition("@")
    kind, colon, name = plain.partition(":")
    if not colon:
        kind, name = ("defaults", "all") if plain == "defaults" else ("profile", plain)
    if kind not in KINDS or not _NAME.match(name) or (at and not number.isdecimal()):
        raise Invalid(
            f"{text!r}: use the name of a profile (a-z 0-9 . _ -), or defaults, distribution:NAME, "
            "group:NAME, node:NAME; with @NUMBER for one of its versions"
        )
    return Ref(kind, name, int(number) if at else None)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: where it is written, and its plain values."""

    ref: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stack:
    """All layers of one installation, the lowest first; `variables` are for its templates."""

    layers: Sequence[Layer]
    variables: Mapping[str, Any]
    target: Target

    def profile(self) -> Profile:
        """The layers as one. Raises SettingError naming the field."""
        return profile_of(self._values(), self.variables)

    def faults(self) -> list[Finding]:
        """Everything that keeps `profile` from being made."""
        return [
            self.blamed(Finding(one.reason, one.key)) for one in faults_of(self._values(), self.variables)
        ]

    def _values(self) -> list[Mapping[str, Any]]:
        values = [layer.values for layer in self.layers]
        root = _joined(values).get("root", {})
        if isinstance(root, Mapping) and "password" not in root and "locked" not in root:
            values.append(
                {"root": {"locked": True}}
            )  # nobody said anything of a password: then there is none
        return values

    def blamed(self, finding: Finding) -> Finding:
        """The finding with the layer that its field's value comes from."""
        return replace(finding, layer=self.layer_of(finding.field)) if finding.field else finding

    def layer_of(self, field: str) -> str:
        """The highest layer that says something of this field, or of the nearest one around it."""
        steps = list(_steps(field))
        while steps:
            for layer in reversed(self.layers):
                if _has(layer.values, steps):
                    return layer.ref
            steps.pop()
        return ""


def parsed(text: str, ref: str) -> dict[str, Any]:
    """A text's plain values. Raises Invalid with the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{ref}: {error}") from error


def names_of(target: Target) -> tuple[str, ...]:
    """The distribution layers of a target, the general one first: `rhel`, `rhel9`, `rocky9`."""
    if target.parser is None and target.version[0] == OLDEST:
        return tuple(dict.fromkeys(("rhl", target.name)))
    release = f"{target.line}{target.major}"
    if target.line == "ubuntu":
        release += f".{target.version[1]:02d}"
    names = (target.line, release, target.name) if target.major else (target.line, target.name)
    return tuple(dict.fromkeys(names))


def known_distribution(name: str) -> None:
    """Raises Invalid for a name that no target ever asks for."""
    try:
        find_target(name if any(map(str.isdecimal, name)) else f"{name}{_NEWEST.get(name, '')}")
    except SettingError as error:
        raise Invalid(f"distribution {name!r}: {error.reason}, or the name without the number") from error


_NEWEST = {"rhel": 9, "fedora": 42, "debian": 13, "ubuntu": "24.04", "rhl": "7.2", "centos": 9, "rocky": 9,
           "almalinux": 9, "alma": 9}  # fmt: skip


def stacked(facts: Callable[[Target], Mapping[str, Any]], found: Callable[[str], Layer | None],
            own: Sequence[Layer], variables: Mapping[str, Any]) -> Stack:  # fmt: skip
    """The stack of a node. `found` gives the layer of `defaults` or of `distribution:NAME`; `own` are the
    profile's and those above it. Raises SettingError when there is no target."""
    defaults = found("defaults")
    low = [defaults] if defaults is not None else []
    named = next(
        (layer.values["target"] for layer in reversed([*low, *own]) if layer.values.get("target")), ""
    )
    if not isinstance(named, str) or not named:
        raise SettingError("target", 'no layer says which system is to be installed, such as "debian13"')
    target = find_target(named)
    middle = [layer for name in names_of(target) if (layer := found(f"distribution:{name}")) is not None]
    return Stack([Layer(FACTS, facts(target)), *low, *middle, *own], variables, target)


def _joined(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for layer in layers:
        values = joined(values, layer)
    return values


def _steps(field: str) -> Iterator[str | int]:
    place = 0
    while found := _STEP.match(field, place):
        place = found.end()
        if found[1]:
            yield found[1]
        elif found[2]:
            yield int(found[2])


def _has(values: Any, steps: Sequence[str | int]) -> bool:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(values, list) or step >= len(values):
                return False
            values = values[step]
        elif not isinstance(values, Mapping) or step not in values:
            return False
        else:
            values = values[step]
    return True
