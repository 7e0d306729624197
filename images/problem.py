"""What is wrong with a store, as those who look through it tell it, and the words for what to do about it.

Law: repair comes first, then the import. Before the repair the index still offers damaged chunks, so an
import would not store them again; after it the import brings them back, and the locators that need them
(returned.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

REPAIR = "run `bootsrv image verify --repair`"


class Problem(NamedTuple):
    """One damage: the file in the store, what is wrong and whom it hurts, and what to do about it, or how it
    was mended. `hurt`: the version of which a file has lost chunks, where it is that.
    """

    path: str
    text: str
    repair: str
    mended: bool = False
    hurt: str = ""


def again(names: Iterable[str]) -> str:
    """What brings back the lost chunks of those images, after the repair."""
    *others, last = sorted(set(names))
    if others:
        return f"import {', '.join(others)} and {last} again from their sources"
    return f"import {last} again from its source"


def repair_then_again(names: Iterable[str]) -> str:
    """The same where no repair has set the damage aside yet."""
    return f"{REPAIR}, then {again(names)}"
