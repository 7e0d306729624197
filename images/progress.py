"""How long work tells how far it is, everywhere in this room. Python 3.8, standard library only."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then, never from two threads at once, and cheap enough to call often."""

    def __call__(self, done: int, total: int | None, what: str, /) -> None:
        """`done` of `total` bytes (None: not known); `what` is for a person: a path or a step."""


def silent(done: int, total: int | None, what: str, /) -> None:
    """The Progress of someone who does not want to know."""
