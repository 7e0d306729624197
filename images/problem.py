"""What is wrong with a store, as those who look through it tell it."""

from __future__ import annotations

from typing import NamedTuple

REPAIR = "run `bootsrv image verify --repair`"


class Problem(NamedTuple):
    """One damage: the file in the store, what is wrong and whom it hurts, and what to do about it, or how it
    was mended.
    """

    path: str
    text: str
    repair: str
    mended: bool = False
