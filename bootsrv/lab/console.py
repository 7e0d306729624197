"""What a virtual machine wrote to its serial port, and waiting for it to write something."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from bootsrv.lab.errors import LabError, LabTimeout

_ESCAPES = re.compile(r"\x1b(\[[0-9;?=]*[a-zA-Z]|[()][0-9A-Z]|[=>78c])")


class Console:
    """The serial log of one machine. `wait_for` reads on from where the last match ended."""

    def __init__(self, path: Path, alive: Callable[[], bool]) -> None:
        self.path = path
        self._alive = alive
        self._seen = 0  # characters of `text()` that earlier waits have consumed

    def text(self) -> str:
        """Everything so far, without terminal escapes and carriage returns."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return ""
        return _ESCAPES.sub("", raw.decode("utf-8", "replace")).replace("\r", "")

    def tail(self, lines: int = 15) -> str:
        """The last lines that are not empty, for an error message."""
        return "\n".join([line for line in self.text().splitlines() if line.strip()][-lines:])

    def skip(self) -> None:
        """Forget what was written so far."""
        self._seen = len(self.text())

    def wait_for(self, pattern: str, timeout: float) -> re.Match[str]:
        """Wait until text that matches `pattern` was written; at most `timeout` seconds.

        Raises LabTimeout with the last lines seen, LabError when the machine went off meanwhile.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while True:
            alive = self._alive()
            found = wanted.search(self.text(), self._seen)
            if found:
                self._seen = found.end()
                return found
            if not alive:
                raise LabError(f"the machine went off while {pattern!r} was waited for; last:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LabTimeout(f"no {pattern!r} in {timeout:.0f} s; the console's last:\n{self.tail()}")
            time.sleep(0.1)
