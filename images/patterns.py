"""Patterns of what is left out are looked at before the work: one that can match nothing is a mistake.

A pattern is a shell pattern on a whole path, "/path/in/tree"; `*` crosses slashes. Python 3.8, standard
library only. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from images.errors import BadInput

_FILES = "files:"  # of captures, see agent/capture/excludes.py
_BEGINNINGS = ("/", "*", "?", "[")


def check_patterns(patterns: Iterable[str], files: bool = False) -> None:
    """Raises BadInput for a pattern that no path can match, with what to write instead. `files`: they may
    begin with "files:".
    """
    for pattern in patterns:
        if pattern.startswith(_FILES) and not files:
            raise BadInput(f"pattern {pattern!r} matches nothing: {_FILES} is for captures alone")
        prefix = _FILES if pattern.startswith(_FILES) else ""
        plain = pattern[len(prefix) :]
        folder = plain.rstrip("/")
        if not folder:
            raise BadInput(f"pattern {pattern!r} matches nothing; write '{prefix}/*' for everything")
        if not plain.startswith(_BEGINNINGS):
            there, anywhere = f"{prefix}/{folder}", f"{prefix}*/{folder}"
            raise BadInput(
                f"pattern {pattern!r} matches nothing, since paths begin with a slash: write {there!r}, or"
                f" {anywhere!r} for that name in any directory"
            )
        if folder != plain:
            raise BadInput(
                f"pattern {pattern!r} matches nothing, since no path ends with a slash: write"
                f" {prefix + folder!r}, or {prefix + folder + '/*'!r} to keep the directory itself"
            )
