"""The verbs on answer files that need no registry: validate, render, import, compare.

A file is checked by what will read it: kickstart by Anaconda's own parser at the target's version (before its
time, by our tables), preseed by the questions of the installer's packages, autoinstall by its schema.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootsrv.answers.crypt import hashed, loader_hashed
from bootsrv.answers.toml import as_toml
from bootsrv.errors import BootsrvError, Invalid, NotFound
from pxe.answers.addresses import wrong_addresses
from pxe.answers.autoyast.check import check as check_autoyast
from pxe.answers.autoyast.render import render as render_autoyast
from pxe.answers.cloud.autoinstall import render as render_autoinstall
from pxe.answers.cloud.check import check as check_autoinstall
from pxe.answers.cloud.nocloud import hostname, meta_data, network_config
from pxe.answers.cloud.nocloud import render as render_nocloud
from pxe.answers.cloud.nocloud_check import check as check_nocloud
from pxe.answers.doubts import doubts
from pxe.answers.errors import Finding, Unfit
from pxe.answers.ignition.check import check as check_ignition
from pxe.answers.ignition.render import render as render_ignition
from pxe.answers.kickstart.importer import BOM, Imported, read_kickstart
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.kickstart.render import render as render_kickstart
from pxe.answers.layers import profile_of
from pxe.answers.places import placed
from pxe.answers.preseed.check import check as check_preseed
from pxe.answers.preseed.render import render as render_preseed
from pxe.answers.profile import Profile, profile_values
from pxe.answers.targets import Dialect, Target, find_target
from pxe.answers.unsaid import unsaid
from pxe.errors import ParserFailed, SettingError

_WRITERS = {
    Dialect.KICKSTART: render_kickstart,
    Dialect.PRESEED: render_preseed,
    Dialect.AUTOINSTALL: render_autoinstall,
    Dialect.NOCLOUD: render_nocloud,
    Dialect.AUTOYAST: render_autoyast,
    Dialect.IGNITION: render_ignition,
}
_READERS: dict[Dialect, Callable[[str], list[Finding]]] = {
    Dialect.AUTOINSTALL: check_autoinstall,
    Dialect.NOCLOUD: check_nocloud,
    Dialect.AUTOYAST: check_autoyast,
    Dialect.IGNITION: check_ignition,
}
_MOST = 4 << 20  # bytes of one answer file
_PRESEED = re.compile(r"^d-i\s+\S+\s+\S+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A profile written for a target, and what its reader says of it."""

    text: str
    findings: tuple[Finding, ...]
    beside: Mapping[str, str] = field(default_factory=dict)  # other files, by name: NoCloud has three

    @property
    def good(self) -> bool:
        return not any(not one.warning for one in self.findings)


def read_text(path: Path) -> str:
    """A file's text. Raises NotFound, Invalid."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    if len(data) > _MOST:
        raise Invalid(f"{path}: {len(data)} bytes are too many for an answer file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{path}: byte {error.start} is not UTF-8; convert it with iconv") from error


def target(name: str) -> Target:
    """The target by name. Raises Invalid with what there is."""
    try:
        return find_target(name)
    except SettingError as error:
        raise Invalid(str(error)) from error


def validate(text: str, goal: Target, parser: KickstartParser | None = None) -> tuple[Finding, ...]:
    """What the target's reader says of any file. `parser`: one that is there already. Raises BootsrvError
    when it cannot be asked."""
    if text.startswith(BOM) and goal.dialect is not Dialect.AUTOYAST:
        mark = Finding("a byte order mark stands in front, which its reader takes for text", line=1)
        return (mark, *validate(text.removeprefix(BOM), goal, parser))
    if goal.dialect is Dialect.PRESEED:
        return tuple(check_preseed(text, goal.major))
    if reader := _READERS.get(goal.dialect):
        return tuple(reader(text))
    if goal.parser is None:
        return _by_our_tables(text, goal)
    asked = parser or KickstartParser()
    try:
        return tuple(asked.check(text, goal.parser))
    except ParserFailed as error:
        raise BootsrvError(str(error)) from error
    finally:
        if parser is None:
            asked.close()


def _by_our_tables(text: str, goal: Target) -> tuple[Finding, ...]:
    """No parser is left from that time: the file is read into a profile and written again."""
    try:
        got = read_kickstart(text, lambda plain: "*")
        render_kickstart(got.profile, goal, got.secrets)
    except SettingError as error:
        return (Finding(str(error)),)
    except Unfit as error:
        return (*got.notes, *error.findings)
    return tuple(got.notes)


def load_profile(path: Path) -> Profile:
    """A profile's file (TOML), its snippets filled in. Raises Invalid with the field."""
    values = _parsed(path)
    try:
        return profile_of([values], {})
    except SettingError as error:
        hint = "; templates are filled for a node, when the profile is saved" if _open(values) else ""
        raise Invalid(f"{path}: {error}{hint}") from error


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{path}: {error}") from error


def _open(values: Any) -> bool:
    """Whether something in it waits to be filled in: a template, or a snippet."""
    if isinstance(values, Mapping):
        return "snippet" in values or any(map(_open, values.values()))
    if isinstance(values, list):
        return any(map(_open, values))
    return isinstance(values, str) and "{{" in values


def render(
    profile: Profile, goal: Target, secrets: Mapping[str, str], parser: KickstartParser | None = None
) -> Rendered:
    """The answer file for a target, checked by its reader; findings instead of text where it cannot be."""
    addresses = tuple(wrong_addresses(profile))
    left_out = (*addresses, *unsaid(profile, goal.dialect), *doubts(profile, goal))
    try:
        text = _WRITERS[goal.dialect](profile, goal, secrets)
    except Unfit as error:
        known = {one.field for one in addresses}
        return Rendered("", (*(one for one in error.findings if one.field not in known), *left_out))
    if any(not one.warning for one in left_out):
        return Rendered("", left_out)
    if goal.dialect is Dialect.KICKSTART and goal.parser is None:
        return Rendered(text, left_out)
    found = (*left_out, *(placed(one, text, goal.dialect) for one in validate(text, goal, parser)))
    return Rendered(text, found, _beside(profile) if goal.dialect is Dialect.NOCLOUD else {})


def _beside(profile: Profile) -> dict[str, str]:
    name = hostname(profile) or "localhost"
    return {"meta-data": meta_data(name, name), "network-config": network_config(profile)}


def take_over(text: str, goal: str) -> Imported:
    """An existing kickstart as a profile. Raises Invalid for a file without structure."""
    found = target(goal) if goal else None
    if found is not None and found.dialect is not Dialect.KICKSTART:
        raise Invalid(
            f"{goal} reads {found.dialect}; only kickstarts are imported: name what it was made for"
        )
    if _PRESEED.search(text):
        raise Invalid("this is a preseed file; only kickstarts are imported")
    old = found is not None and found.major < (7 if found.line == "rhel" else 16)
    try:
        return read_kickstart(
            text, hashed, found.name if found else "", lambda plain: loader_hashed(plain, old)
        )
    except SettingError as error:
        raise Invalid(str(error)) from error


def to_toml(profile: Profile) -> str:
    """A profile as the file that `load_profile` reads."""
    return as_toml(profile_values(profile))


def compare(one: Path, other: Path) -> str:
    """What differs between two profiles, as a unified diff of their values; empty when they say the same."""
    both = [_parsed(path) for path in (one, other)]
    if any(map(_open, both)):
        old, new = map(as_toml, both)  # as it is written: nobody has filled it in
    else:
        old, new = (to_toml(load_profile(path)) for path in (one, other))
    return difference(old, new, str(one), str(other))


def difference(old: str, new: str, one: str, other: str) -> str:
    """What differs between two texts, as a unified diff; empty when nothing does."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), one, other, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def finding_record(one: Finding) -> dict[str, Any]:
    """A finding for JSON."""
    return {
        "field": one.field, "line": one.line, "text": one.text, "warning": one.warning, "layer": one.layer,
    }  # fmt: skip
