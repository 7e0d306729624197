"""The questions that Debian's installer asks: name, type and fixed choices, release by release.

The lists are made by `harvest` from the installer's own packages. A release without a list of its own is
checked against the nearest one: what that does not know is a warning there, unless it is one slip away from
what is known. Mirrors drop the installer's packages of older releases, so not every list can be made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
NEWEST = 13
# Names with a part that counts: apt-setup/local0/repository and its kin are not in any template.
_COUNTED = {
    re.compile(r"apt-setup/local\d+/(repository|comment|key)\Z"): "string",
    re.compile(r"apt-setup/local\d+/source\Z"): "boolean",
    re.compile(r"partman-(lvm|md|crypto)/confirm_nooverwrite\Z"): "boolean",  # registered while it runs
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `choices`: what may be answered, where the template fixes it."""

    name: str
    kind: str
    choices: tuple[str, ...] = ()


@cache
def questions(release: int) -> dict[str, Question]:
    """All questions by name, of the release or of the nearest one that has a list."""
    file = _HERE / f"questions-{release}.tsv"
    if not file.exists():
        file = _HERE / f"questions-{NEWEST}.tsv"
    found: dict[str, Question] = {}
    for line in file.read_text().splitlines():
        name, kind, choices = (*line.split("\t"), "")[:3]
        found[name] = Question(name, kind, tuple(one.strip() for one in choices.split(",") if one.strip()))
    return found


def has_own_list(release: int) -> bool:
    """Whether the release's own packages were read."""
    return (_HERE / f"questions-{release}.tsv").exists()


def question(name: str, release: int) -> Question | None:
    """One question, or None."""
    found = questions(release).get(name)
    if found is not None:
        return found
    kind = next((kind for pattern, kind in _COUNTED.items() if pattern.match(name)), None)
    return Question(name, kind) if kind else None
