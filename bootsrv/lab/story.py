"""Tells a person what happens in a lab while it happens: a line for each event, a moving one for progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from bootsrv.model import Event
from bootsrv.timeline import Boot, read_progress

QUIET = ("log", "dhcp.request", "dhcp.ack", "tftp.start", "http.start")
BAR = 28


class Story:
    """Writes to `out`, with the time since the story began in front of every line."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._began = time.monotonic()
        self.wall = time.time()
        self._moving = False
        self._tenth = -1

    def say(self, text: str) -> None:
        """A line of our own."""
        self._line(time.monotonic() - self._began, text)

    def tell(self, event: Event, who: str) -> None:
        """A line about something the service recorded."""
        since = event.at - self.wall
        if event.kind == "deploy.progress":
            self._progress(event, since)
        elif event.kind not in QUIET:
            self._line(since, f"{who}  {event.kind:<16} {event.text}")

    def _progress(self, event: Event, since: float) -> None:
        progress = read_progress(event.data)
        if progress is None or not progress.total:
            return
        share = min(progress.done / progress.total, 1.0)
        filled = "#" * round(share * BAR)
        left = f", {progress.eta:.0f} s left" if progress.eta is not None else ""
        text = (
            f"[{filled:<{BAR}}] {share:4.0%}  {progress.done / 2**20:.0f} of {progress.total / 2**20:.0f} MiB"
            f"  {progress.rate / 2**20:.1f} MiB/s{left}"
        )
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{_clock(since)}  {text}")
            self._out.flush()
            self._moving = True
        elif int(share * 10) != self._tenth:
            self._tenth = int(share * 10)
            self._line(since, text)

    def _line(self, since: float, text: str) -> None:
        if self._moving:
            self._out.write("\n")
            self._moving = False
        self._out.write(f"{_clock(since)}  {text}\n")
        self._out.flush()


def stage_table(boots: Sequence[Boot]) -> list[str]:
    """How long each stage of the boots took, oldest boot first."""
    lines = []
    for boot in reversed(boots):
        done = [(stage.name, stage.end - stage.start) for stage in boot.stages if stage.end is not None]
        lines += [f"{seconds:8.1f} s  {name}" for name, seconds in done]
        if boot.end is not None:
            lines.append(f"{boot.end - boot.start:8.1f} s  from its first packet to {boot.outcome}")
    return lines


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes):3d}:{rest:04.1f}"
