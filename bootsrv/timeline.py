"""Turns a machine's events into boots and a boot into stages with durations. Pure: no clock, no store.

A boot runs from the firmware's first DISCOVER to the system's first call home. An imaging and the reboot
that follows it are one story to the person who watches, so the DISCOVER after `deploy.done` continues it. A
power cut starts a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bootsrv.model import Event
from images.sizes import human

FIRMWARE_GAP = 150.0  # firmware repeats its DISCOVER after 4, 8, 16, 32 s; longer silence is another power-on
LONGEST_ETA = 1e9  # seconds; a rate next to nothing must not make it endless
LANDING_GAP = 1800.0  # a machine that was imaged and then stays away this long has been switched on anew


@dataclass(frozen=True, slots=True)
class Flight:
    """How far a machine is in its current boot; `boot` is the id of the boot's first event."""

    boot: int
    phase: str  # firmware -> loaded -> imager -> done -> landing -> home
    at: float


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of a boot. `end` is None while it lasts."""

    name: str
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes written so far; `rate` in bytes a second, `eta` in seconds (None: cannot be told yet)."""

    done: int
    total: int
    rate: float
    eta: float | None


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of one machine. `outcome`: "running" (on its way), "home", "installed", "failed", or "cut"
    (another boot began before this one had come to an end)."""

    id: int
    start: float
    end: float | None
    outcome: str
    stages: tuple[Stage, ...]
    events: tuple[Event, ...]
    progress: Progress | None


# The stage that begins with an event of this kind. The imager reports most steps when they are done, so the
# event
# that ends one begins the next.
_BEGINS: Mapping[str, str] = {
    "dhcp.discover": "firmware",
    "tftp.start": "loader",
    "tftp.done": "loader",
    "http.start": "kernel",
    "imager.up": "imager",
    "root.up": "root",
    "root.done": "start",
    "deploy.disk": "prepare disk",
    "deploy.started": "prepare disk",
    "deploy.format": "write image",
    "deploy.progress": "write image",
    "deploy.files": "verify",
    "deploy.verify": "personalise",
    "deploy.personalise": "boot loader",
    "deploy.done": "reboot",
    "install.started": "installer",
    "install.done": "reboot",
    "imager.reboot": "reboot",
    "home": "running",
}
STARTED = ("deploy.started", "install.started")
DONE = ("deploy.done", "install.done")
FAILED = ("deploy.failed", "install.failed")
# Of an installer's many steps, those that are stages of their own.
STEPS = frozenset(
    {"partman-base", "bootstrap-base", "pkgsel", "grub-installer", "partitions", "packages", "boot loader"}
)
_WIRE = ("dhcp.", "tftp.", "http.")


def advance(before: Flight | None, at: float, kind: str, data: Mapping[str, Any], event_id: int) -> Flight:
    """Which boot an event belongs to, and how far the machine is after it."""
    if before is None or _opens_new(before, at, kind, data):
        return Flight(event_id, _phase("", kind, data), at)
    return Flight(before.boot, _phase(before.phase, kind, data), at)


def _opens_new(before: Flight, at: float, kind: str, data: Mapping[str, Any]) -> bool:
    if kind != "dhcp.discover" or not from_firmware(data):
        return False
    if before.phase in ("", "firmware", "landing"):
        return at - before.at > FIRMWARE_GAP
    if before.phase == "done":
        return at - before.at > LANDING_GAP
    return True


def from_firmware(data: Mapping[str, Any]) -> bool:
    """Whether a DHCP event came from firmware (or an iPXE in a ROM), not from a program we started there."""
    return data.get("stage") in ("firmware", "old-ipxe")


def _phase(before: str, kind: str, data: Mapping[str, Any]) -> str:
    if kind == "home":
        return "home"
    if kind in DONE:
        return "done"
    if before == "done" and kind == "dhcp.discover" and from_firmware(data):
        return "landing"
    if before in ("done", "landing", "home"):
        return before
    if kind.startswith(("imager.", "deploy.", "install.", "root.")):
        return "imager"
    if before != "imager" and (kind.startswith("http.") or data.get("stage") == "ipxe"):
        return "loaded"
    return before or "firmware"


def build(events: Sequence[Event], superseded: bool = False) -> Boot:
    """One boot from its events, in order; `superseded` when a later boot of the machine exists."""
    outcome = _outcome(events, superseded)
    end = events[-1].at if outcome != "running" else None
    stages: list[Stage] = []
    landing = False
    for event in events:
        name = _stage_of(event, landing)
        landing = landing or event.kind in DONE
        if name is None or (stages and stages[-1].name == name):
            continue
        if stages:
            stages[-1] = Stage(stages[-1].name, stages[-1].start, event.at)
        stages.append(Stage(name, event.at, end))
        if name == "running":
            break
    if stages and stages[-1].name in ("running", "failed"):
        stages.pop()
    first = events[0]
    return Boot(
        first.boot or first.id, first.at, end, outcome, tuple(stages), tuple(events), progress_of(events)
    )  # fmt: skip


def _stage_of(event: Event, landing: bool) -> str | None:
    if event.kind in FAILED:
        return "failed"
    if landing:
        if event.kind.startswith(_WIRE):
            return "start from disk"
        return "running" if event.kind == "home" else None
    if event.kind == "install.step" and event.data.get("step") in STEPS:
        return event.text
    if event.kind == "dhcp.discover":
        if event.data.get("stage") == "ipxe":
            return "loader"
        return "firmware" if from_firmware(event.data) else None
    if event.kind == "http.start" and str(event.data.get("file", "")).startswith("loaders/"):
        return "loader"  # UEFI HTTP Boot
    return _BEGINS.get(event.kind)


def _outcome(events: Sequence[Event], superseded: bool) -> str:
    kinds = [event.kind for event in events]
    if "home" in kinds:
        return "home"
    failed = max(_last(kinds, kind) for kind in FAILED)
    if kinds[-1] not in STARTED and failed > max(_last(kinds, kind) for kind in STARTED):
        return "failed"
    if not superseded:
        return "running"
    return "installed" if any(kind in DONE for kind in kinds) else "cut"


def _last(kinds: Sequence[str], kind: str) -> int:
    return max((place for place, found in enumerate(kinds) if found == kind), default=-1)


def words(event: Event) -> str:
    """An event's text; of a progress report, which has none, how far it is."""
    progress = read_progress(event.data) if event.kind == "deploy.progress" else None
    if event.text or progress is None:
        return event.text
    share = f" ({progress.done * 100 // progress.total} %)" if progress.total else ""
    rate = f", {human(int(progress.rate))}/s" if progress.rate else ""
    return f"{human(progress.done)} of {human(progress.total)} written{share}{rate}"


def progress_of(events: Sequence[Event]) -> Progress | None:
    """The newest progress report among the events."""
    for event in reversed(events):
        if event.kind == "deploy.progress":
            return read_progress(event.data)
    return None


def read_progress(data: Mapping[str, Any]) -> Progress | None:
    """A progress report of the imager; None when its numbers make no sense."""
    done, total, rate = data.get("done"), data.get("total"), data.get("rate", 0)
    if not isinstance(done, int) or not isinstance(total, int) or not isinstance(rate, int | float):
        return None
    if min(done, total, rate) < 0 or max(done, total, rate) >= 2**63:
        return None
    eta = min((total - done) / rate, LONGEST_ETA) if rate > 0 and total >= done else None
    return Progress(done, total, float(rate), eta)
