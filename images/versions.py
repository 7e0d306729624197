"""The nouns of a store: a version of an image, and how a person names one.

A reference is NAME (its latest version), NAME@NUMBER or NAME@TAG. Knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from images.errors import BadInput

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version. `id` is the sha256 hex of its manifest's text; sizes are bytes; `created`
    epoch seconds.

    `bytes` is what its files hold (holes not counted), `stored_bytes` what all its chunks take in the packs,
    shared ones included. `added`: of `bytes` what the store lacked before; only who published it hears
    that, and it is not kept.
    """

    name: str
    number: int
    id: str
    kind: str
    created: float
    comment: str = ""
    parent: str | None = None
    files: int = 0
    bytes: int = 0
    stored_bytes: int = 0
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    added: int | None = field(default=None, compare=False)

    @property
    def ref(self) -> str:
        """NAME@NUMBER, which stays this version forever."""
        return f"{self.name}@{self.number}"


def check_name(name: str, what: str = "image name") -> str:
    """The name itself when it may be used. Raises BadInput with the rule."""
    if not _NAME.match(name):
        raise BadInput(f"{what} {name!r}: use 1-63 of a-z 0-9 . _ - and start with a letter or digit")
    return name


def split_ref(ref: str) -> tuple[str, str]:
    """NAME and its selector (a number, a tag, or `latest`). Raises BadInput."""
    name, found, selector = ref.partition("@")
    check_name(name)
    if not found:
        return name, LATEST
    return name, check_name(selector, "image version or tag")
