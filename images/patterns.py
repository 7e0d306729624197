"""Patterns of what is left out are looked at before the work: one that can match nothing is a mistake. One
that could, and has matched nothing in the end, is told.

A pattern is a shell pattern on a whole path, "/path/in/tree"; `*` crosses slashes. Python 3.8, standard
library only. Pure.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping

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


class Idle:
    """Those of `patterns` that have matched none of the names that it was told of. Only what is left out
    need be told, so it costs nothing for all other names. Each pattern begins with `prefix`, names do not.
    """

    def __init__(self, patterns: Iterable[str], prefix: str = "") -> None:
        self._waiting = {each: re.compile(fnmatch.translate(each[len(prefix) :])).match for each in patterns}

    def heard(self, path: str) -> None:
        """A name, with its leading slash."""
        for each in [each for each, match in self._waiting.items() if match(path)]:
            del self._waiting[each]

    @property
    def left(self) -> list[str]:
        """What has matched nothing yet."""
        return list(self._waiting)


class Tally:
    """How many of the names that it was told of each of `patterns` matched; the first that does counts."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._known = [(each, re.compile(fnmatch.translate(each)).match) for each in patterns]
        self.found: dict[str, int] = {}

    def heard(self, path: str) -> None:
        """A name, with its leading slash."""
        for each, match in self._known:
            if match(path):
                self.found[each] = self.found.get(each, 0) + 1
                return


def usual_warnings(found: Mapping[str, int], way_out: str) -> list[str]:
    """A line about what nobody asked to leave out, where there is any; `way_out` is what takes it along.
    A directory is one name, with all that is in it.
    """
    names = ", ".join(f"{each} ({count})" for each, count in found.items())
    total = sum(found.values())
    what = "1 name was" if total == 1 else f"{total} names were"
    return [f"{what} left out by default, directories with all in them: {names}; {way_out}"] if found else []


def idle_warnings(left: Iterable[str]) -> list[str]:
    """A line that names them, where there are any."""
    names = ", ".join(map(repr, left))
    return [f"nothing was left out by {names}: no name matches"] if names else []
