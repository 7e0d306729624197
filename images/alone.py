"""The end of a process that does one thing for the service, and whose files the service reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from images.errors import ImageError


def ended(work: Callable[[], object]) -> int:
    """Do it; the exit code: 1, with one line on stderr, when it could not be done."""
    os.umask(0o007)
    try:
        work()
    except (ImageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
