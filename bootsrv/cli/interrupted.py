"""Ctrl-C in a command that makes something: one line says what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bootsrv.errors import BootsrvError


class Interrupted(BootsrvError):
    """Somebody at the terminal ended it."""

    exit_code = 130


@contextmanager
def interruption(text: str) -> Iterator[None]:
    """Raises Interrupted with `text` for a Ctrl-C inside, once all that was begun has been cleared away."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted: {text}") from error
