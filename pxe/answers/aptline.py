"""A repository as apt's own lists have it, behind the word `deb`: [OPTIONS] ADDRESS SUITE COMPONENTS, or
ADDRESS with a directory that ends in a slash."""

from __future__ import annotations

import re
from collections.abc import Callable

from pxe.answers.errors import Finding

_OPTIONS = re.compile(r"\[[^\]]*\]\s+")


def apt_source(text: str, field: str, say: Callable[[Finding], None]) -> None:
    """Says what apt could not read, which stops an installer behind the packages."""
    words = _OPTIONS.sub("", text, count=1).split()
    flat = len(words) == 2 and words[1].endswith("/")
    if not flat and (len(words) < 3 or words[1].endswith("/")):
        say(Finding("must be ADDRESS SUITE COMPONENTS, or ADDRESS ./ where there are no suites", field))
