"""Runs a program with an argument list and turns its failure into one line that names it and its last
words.

Python 3.8, standard library only.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from images.errors import ImageError

LIMIT = 600.0  # seconds; mkfs on a slow, large disk is minutes at most


class CommandFailed(ImageError):
    """A program ended with an error, did not end, or is not there."""


def run(
    command: Sequence[str], text: str | None = None, limit: float = LIMIT, good: Sequence[int] = (0,)
) -> str:
    """Standard output of the program.

    `text` goes to its input; `good` lists exit codes that are no failure.
    """
    try:
        done = subprocess.run(
            list(command),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=limit,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{command[0]} did not finish within {limit:.0f} seconds") from error
    except FileNotFoundError as error:
        raise CommandFailed(f"{command[0]} is not there") from error
    if done.returncode not in good:
        words = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise CommandFailed(f"{command[0]} failed with code {done.returncode}: {words}")
    return done.stdout
