"""Shows the agent's state on every console of the machine: a picture on screens, plain lines on serial
lines.

The law: a console never holds up the work. Writes do not block for more than a moment; what does not fit
is lost there (the server gets every line by its own way). Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import re
import select
import threading
import time
from pathlib import Path
from typing import Callable

from images.agent.screen import Screen, bar

ACTIVE = Path("/sys/class/tty/console/active")
PATIENCE = 0.3  # seconds that a slow line may take
REDRAW = 0.2  # seconds between two pictures
PROGRESS_LINE = 5.0  # seconds between two progress lines on a serial line
_SCREEN = re.compile(r"tty\d+\Z")


class Console:
    """Draws a `Screen`. Thread-safe."""

    def __init__(self, log: Callable[[str], None] = lambda line: None, folder: Path = Path("/dev")) -> None:
        """`log` gets each line as well (for the server)."""
        self.screen = Screen()
        self.log = log
        self._lock = threading.Lock()
        self._pictures, self._lines = _open_consoles(folder)
        self._drawn = 0.0
        self._progress_line = 0.0

    def say(self, text: str) -> None:
        """One line for everyone: consoles, screen, server."""
        line = f"[{uptime():8.1f}] {text}"
        with self._lock:
            self.screen.say(line)
            for terminal in self._lines:
                _write(terminal, f"imager: {line}\r\n")
            self._draw(True)
        self.log(line)

    def status(self, text: str, error: str = "") -> None:
        """The line that says what is going on; `error` stays visible until the next status."""
        with self._lock:
            changed = (self.screen.status, self.screen.error) != (text, error)
            self.screen.status, self.screen.error = text, error
        if changed:
            self.say(f"{text}: {error}" if error else text)

    def facts(self, *lines: str) -> None:
        """Who this machine is, above the steps."""
        with self._lock:
            self.screen.facts = list(lines)
            self._draw(True)

    def steps(self, *names: str) -> None:
        """A fresh list of steps, none begun."""
        with self._lock:
            self.screen.steps, self.screen.total = [], 0
            for name in names:
                self.screen.step(name, "waiting")
            self._draw(True)

    def step(self, name: str, state: str, text: str = "") -> None:
        """Marks a step as running, done or failed."""
        with self._lock:
            self.screen.step(name, state, text)
        self.say(f"{name}: {text or state}")

    def progress(self, done: int, total: int, rate: float) -> None:
        """Bytes done; cheap to call often."""
        with self._lock:
            self.screen.done, self.screen.total, self.screen.rate = done, total, rate
            now = time.monotonic()
            if now - self._progress_line >= PROGRESS_LINE or done >= total:
                self._progress_line = now
                for terminal in self._lines:
                    _write(terminal, f"imager: [{uptime():8.1f}] {bar(done, total, rate)}\r\n")
            self._draw(False)

    def _draw(self, now: bool) -> None:
        if not self._pictures or (not now and time.monotonic() - self._drawn < REDRAW):
            return
        self._drawn = time.monotonic()
        # No cursor, no blanking; home, each line cleared to its end: no flicker on slow framebuffers.
        body = "".join(f"{line}\033[K\r\n" for line in self.screen.render())
        picture = f"\033[?25l\033[9;0]\033[H{body}\033[J"
        for terminal in self._pictures:
            _write(terminal, picture)


def _open_consoles(folder: Path) -> tuple[list[int], list[int]]:
    """File descriptors of the screens and of the serial lines among the kernel's consoles."""
    try:
        names = ACTIVE.read_text().split()
    except FileNotFoundError:
        names = []
    pictures: list[int] = []
    lines: list[int] = []
    for name in names or ["console"]:
        try:
            terminal = os.open(str(folder / name), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # a console= for a line that is not there
            continue
        (pictures if _SCREEN.match(name) else lines).append(terminal)
    return pictures, lines


def _write(terminal: int, text: str) -> None:
    data, end = text.encode("utf-8", "replace"), time.monotonic() + PATIENCE
    while data:
        left = end - time.monotonic()
        if left <= 0 or not select.select([], [terminal], [], left)[1]:
            return
        try:
            data = data[os.write(terminal, data) :]
        except BlockingIOError:
            continue
        except OSError:  # a line that was unplugged
            return


def uptime() -> float:
    """Seconds since the kernel started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
