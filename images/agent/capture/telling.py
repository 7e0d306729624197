"""Says how a capture goes: a bar on a terminal, a line now and then elsewhere, and a report to the server.

Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Callable, Dict, Optional, TextIO

from images.agent.screen import bar

DRAW, LINE, REPORT = 0.2, 10.0, 5.0  # seconds between two pictures, lines, reports


class Teller:
    """Hears of every name; speaks seldom. `total`: bytes that may be there to read, as far as can be told;
    `where`: reports say at which name it is.
    """

    def __init__(self, out: Optional[TextIO] = None) -> None:
        self._out = out or sys.stderr
        self.total = 0
        self.every = LINE
        self.report: Callable[[Dict[str, Any]], None] = lambda facts: None
        self._tty = self._out.isatty()
        self._started = time.monotonic()
        self._drawn = self._reported = self._started
        self._wide = False
        self.sent: Callable[[], int] = lambda: 0
        self.where = False

    def say(self, text: str) -> None:
        """A line of its own."""
        self._wipe()
        self._out.write(f"bootsrv: {text}\n")
        self._out.flush()

    def expect(self, total: int) -> None:
        """So many bytes may be there."""
        self.total = total

    def step(self, done: int, files: int, path: str) -> None:
        """A name was captured."""
        now = time.monotonic()
        rate = done / max(now - self._started, 0.001)
        total = max(self.total, done)
        if now - self._drawn >= (DRAW if self._tty else self.every):
            self._drawn = now
            self.draw(done, total, rate, files)
        if now - self._reported >= REPORT:
            self._reported = now
            text = f"{done >> 20} of about {total >> 20} MiB, {self.sent() >> 20} MiB sent"
            text += f", at {path}" if self.where else ""
            self.report(
                {"done": done, "total": total, "files": files, "sent": self.sent(), "rate": int(rate),
                 "text": text}
            )  # fmt: skip

    def draw(self, done: int, total: int, rate: float, files: int) -> None:
        """The picture now."""
        if self._tty:
            self._wipe()
            self._out.write(f"{bar(done, total, rate)}  {files} files")
            self._wide = True
        else:
            self._out.write(f"bootsrv: {done >> 20} of about {total >> 20} MiB, {files} files\n")
        self._out.flush()

    def result(self, ref: str) -> None:
        """The version that was made, on standard output."""
        print(ref)

    def end(self) -> None:
        """No more names."""
        self._wipe()

    def _wipe(self) -> None:
        if self._wide:
            self._out.write("\r\033[K")
            self._wide = False


class LineTeller(Teller):
    """For the server at the other end of an SSH connection: one JSON object a line on standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._tty, self.every = False, 1.0

    def say(self, text: str) -> None:
        self._line({"say": text})

    def draw(self, done: int, total: int, rate: float, files: int) -> None:
        self._line({"done": done, "total": total, "files": files, "rate": int(rate)})

    def result(self, ref: str) -> None:
        self._line({"ref": ref})

    def _line(self, row: Dict[str, Any]) -> None:
        print(json.dumps(row), flush=True)
