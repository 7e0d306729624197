"""What somebody typed, and what was wrong with it, by field.

A `Form` keeps the text exactly as it was given, so that a page shown again after an error has lost nothing.
The rules themselves live below, in `bootsrv`; here an error is only put beside the field it speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bootsrv.errors import BootsrvError

# A word in the error of a verb, and the fields it may belong to, the first that the form has.
CLUES: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "base"),
    "names": ("base", "name"),
    "mac": ("mac",),
    "identity": ("identities",),
    "kind": ("identities",),
    "uuid": ("identities",),
    "serial": ("identities",),
    "address": ("address",),
    "subnet": ("address",),
    "image": ("image",),
    "version": ("image",),
    "disk": ("disk",),
    "profile": ("profile", "ref"),
    "comment": ("comment",),
    "root": ("root", "mode"),
    "writes": ("writes", "mode"),
    "path": ("paths",),
    "paths": ("paths",),
    "size": ("write_limit",),
    "limit": ("write_limit",),
    "diskless": ("image", "mode"),
    "range": ("last",),
    "backwards": ("last",),
    "means": ("last",),
}
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Form:
    """Texts by field name and errors by field name ("" = the form as a whole)."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = {key: text.strip() for key, text in (values or {}).items()}
        self.errors: dict[str, str] = {}

    def value(self, name: str) -> str:
        return self.values.get(name, "")

    def given(self, name: str) -> str | None:
        """The text, or None when the field was left empty."""
        return self.value(name) or None

    def error(self, name: str) -> str | None:
        return self.errors.get(name)

    def refuse(self, name: str, reason: str) -> None:
        """Only the first error of a field is kept: the others often follow from it."""
        self.errors.setdefault(name, reason)

    def need(self, name: str, reason: str) -> str:
        if not self.value(name):
            self.refuse(name, reason)
        return self.value(name)

    def blame(self, error: BootsrvError, fields: tuple[str, ...]) -> None:
        """Puts a verb's error beside the field it is about, or on top of the form."""
        self.refuse(field_of(str(error), fields), sentence(str(error)))

    @property
    def good(self) -> bool:
        return not self.errors


def field_of(text: str, fields: tuple[str, ...]) -> str:
    """The field an error speaks of: the earliest clue in its words, quoted input left out."""
    for word in re.findall(r"[a-z]+", QUOTED.sub("", text).lower()):
        for field in CLUES.get(word, ()):
            if field in fields:
                return field
    return ""


def sentence(text: str) -> str:
    """The verbs' lines are written for a shell (`bootsrv: name n1 is taken`); on a page they stand alone."""
    line = text[:1].upper() + text[1:]
    return line if line.endswith((".", "!", "?")) else line + "."
