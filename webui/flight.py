"""A boot as it is drawn: stages as stretches of one bar, events as lines after power-on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootsrv.model import Event, NodeState
from bootsrv.timeline import Boot, Progress, words
from webui.show import percent

BAR = 1000.0  # width of the drawing's own coordinates
THIN = 4.0  # a stage is never thinner than this, or nobody would see it

COLOURS = {
    "firmware": 0,
    "loader": 1,
    "kernel": 2,
    "imager": 3,
    "prepare disk": 4,
    "write image": 5,
    "personalise": 6,
    "boot loader": 7,
    "verify": 8,
    "root": 3,
    "start": 10,
    "reboot": 9,
    "start from disk": 10,
    "failed": 11,
    "installer": 3,
    "partitions": 4,
    "base system": 5,
    "packages": 6,
}

OUTCOMES = {
    "running": "On its way",
    "home": "Up and running",
    "installed": "Imaged",
    "failed": "Failed",
    "cut": "Ended early",
}

PROGRESS = "deploy.progress"
NEWS = frozenset({"home", "deploy.done", "install.done"})


@dataclass(frozen=True, slots=True)
class DrawnStage:
    """One stretch; `x` and `width` in thousandths of the bar, `seconds` its real length."""

    label: str
    seconds: float
    colour: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Line:
    """One event; `offset` is seconds since the boot began."""

    at: float
    offset: float
    text: str
    tone: str  # "" | "good" | "bad"


@dataclass(frozen=True, slots=True)
class DrawnBoot:
    number: int
    title: str
    started: float
    seconds: float
    stages: list[DrawnStage]
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Meter:
    """How far an imaging is. `fraction` is None while nothing can be said: the bar then only moves."""

    text: str
    done: int
    total: int
    rate: float
    eta: float | None

    @property
    def fraction(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total > 0 else None

    @property
    def percent(self) -> int | None:
        return percent(self.done, self.total)


def meter(progress: Progress | None) -> Meter:
    if progress is None:
        return Meter("Preparing", 0, 0, 0.0, None)
    return Meter("", progress.done, progress.total, progress.rate, progress.eta)


def drawn(boot: Boot, now: float) -> DrawnBoot:
    """A boot that is still on its way is drawn up to `now`."""
    end = boot.end if boot.end is not None else max(now, boot.start)
    return DrawnBoot(
        boot.id, OUTCOMES.get(boot.outcome, boot.outcome), boot.start, end - boot.start, _stages(boot, end),
        [_line(event, boot.start) for event in _told(boot.events)],
    )  # fmt: skip


def _stages(boot: Boot, end: float) -> list[DrawnStage]:
    lengths = [max(0.0, (end if stage.end is None else stage.end) - stage.start) for stage in boot.stages]
    widths = [max(THIN, length) for length in _scaled(lengths)]
    factor = BAR / sum(widths) if widths else 1.0
    drawn_stages, x = [], 0.0
    for stage, length, width in zip(boot.stages, lengths, widths, strict=True):
        share = width * factor
        drawn_stages.append(
            DrawnStage(stage.name, length, COLOURS.get(stage.name, 9), round(x, 2), round(share, 2))
        )
        x += share
    return drawn_stages


def _scaled(lengths: Sequence[float]) -> list[float]:
    whole = sum(lengths)
    return [length * BAR / whole if whole > 0 else 0.0 for length in lengths]


def _told(events: Sequence[Event]) -> list[Event]:
    """Of the progress reports the newest says it all."""
    newest = max((event.id for event in events if event.kind == PROGRESS), default=0)
    return [event for event in events if event.kind != PROGRESS or event.id == newest]


def bad(event: Event) -> bool:
    return event.kind.endswith((".failed", ".error")) or event.data.get("state") == NodeState.FAILED


def _line(event: Event, start: float) -> Line:
    tone = "bad" if bad(event) else "good" if event.kind in NEWS else ""
    return Line(event.at, max(0.0, event.at - start), words(event) or event.kind, tone)
