"""Names under which a shared library may be there. Python 3.8, standard library only."""

from __future__ import annotations

from collections.abc import Iterator


def candidates(stem: str, *known: str) -> Iterator[str]:
    """The names we know, then what this system calls `stem`: finding that out starts other programs, and
    takes longer than all else that an update without changes does.
    """
    yield from known
    from ctypes.util import find_library

    found = find_library(stem)
    if found:
        yield found
