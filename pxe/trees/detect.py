"""What a medium is: `.treeinfo` first, then the table of known layouts. Pure.

The law: what is not recognised is said to be so; nothing is guessed from a name that a person chose.
"""

from __future__ import annotations

import re

from pxe.answers.targets import find_target
from pxe.errors import SettingError
from pxe.trees import treeinfo
from pxe.trees.facts import Installer, Medium, TreeFacts, arch_of
from pxe.trees.reading import READERS
from pxe.trees.table import ROWS, Row


def detect(medium: Medium) -> TreeFacts | None:
    """The tree's facts; None when no layout fits."""
    if (told := treeinfo.facts(medium)) is not None:
        return told
    for row in ROWS:
        if (found := _fit(row, medium)) is not None:
            return found
    return None


def _fit(row: Row, medium: Medium) -> TreeFacts | None:
    kernel, word = _match(row.kernel, medium)
    if not kernel:
        return None
    initrd = next((name for one in row.initrds if (name := _like(one, word, medium))), "")
    if not initrd or any(mark not in medium.names for mark in row.marks):
        return None
    said = READERS[row.version](medium)
    family = said.family if row.family == "redhat" else row.family
    arch = arch_of(word) if row.arch == "*" else row.arch or said.arch
    root = _like(row.root, word, medium) if row.root else ""
    return TreeFacts(
        family or "rhel", said.version, arch or "x86_64", said.title or family, row.installer,
        target_name(family, said.version, row.installer), kernel, (initrd,), root, row.medium, row.note,
    )  # fmt: skip


def target_name(family: str, version: str, installer: Installer) -> str:
    """The name of the tree's target for answer files; "" when there is none."""
    parts = version.split(".")
    name = {
        "debian": f"debian{parts[0]}",
        "ubuntu": f"ubuntu{'.'.join(parts[:2])}",
        "fedora": f"fedora{parts[0]}",
        "rhel": f"rhel{parts[0]}",
        "rhl": f"rhl{'.'.join(parts[:2])}",
    }.get(family, "")
    try:
        found = find_target(name)
    except SettingError:
        return ""
    return name if found.dialect.value == installer.value else ""


def _match(pattern: str, medium: Medium) -> tuple[str, str]:
    """The file that a name of the table means, and what its `*` stands for; "" when there is none."""
    if "*" not in pattern:
        return (pattern, "") if pattern in medium.names else ("", "")
    regex = _regex(pattern)
    for name in sorted(medium.names):
        if found := regex.fullmatch(name):
            return name, found[1]
    return "", ""


def _like(pattern: str, word: str, medium: Medium) -> str:
    """The same for a second name: with the first one's word if that is there."""
    exact = pattern.replace("*", word)
    return exact if exact in medium.names else _match(pattern, medium)[0]


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile("([^/]+)".join(map(re.escape, pattern.split("*"))))
