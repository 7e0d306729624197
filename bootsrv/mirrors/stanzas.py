"""Entries of apt's indexes, as text and by field. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stanza:
    """One package. `text` is the whole entry without the empty line behind it; `sha256` and `size` of its
    file."""

    name: str
    version: str
    priority: str
    filename: str
    size: int
    sha256: str
    kernel: str  # Kernel-Version of an installer's module package
    text: str


def parse(text: str) -> Iterator[Stanza]:
    """Every entry that has a file."""
    for block in text.split("\n\n"):
        fields = dict(_FIELD.findall(block))
        if fields.get("Filename") and fields.get("SHA256") and fields.get("Size", "").isdecimal():
            yield Stanza(
                fields["Package"], fields.get("Version", ""), fields.get("Priority", ""), fields["Filename"],
                int(fields["Size"]), fields["SHA256"], fields.get("Kernel-Version", ""), block.strip("\n"),
            )  # fmt: skip
