"""What came of a storm, in numbers: per stage how long, how many failed and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bootsrv.storm.machine import STAGES, Result


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds that `count` machines took."""

    count: int
    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole storm. `stages` in the order they happen, "boot" (all together) last; without failed ones."""

    machines: int
    booted: int
    local: int
    again: int  # machines that booted, but not at the first attempt
    failures: tuple[tuple[str, int], ...]  # reason and how many machines, most first
    stages: tuple[tuple[str, Spread], ...]
    seconds: float
    bytes: int
    retransmits: int

    @property
    def failed(self) -> int:
        return self.machines - self.booted

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machines": self.machines,
            "booted": self.booted,
            "failed": self.failed,
            "local": self.local,
            "again": self.again,
            "failures": [{"reason": reason, "machines": count} for reason, count in self.failures],
            "stages": {
                name: {
                    "machines": spread.count,
                    "p50": round(spread.p50, 6),
                    "p99": round(spread.p99, 6),
                    "max": round(spread.longest, 6),
                }
                for name, spread in self.stages
            },
            "seconds": round(self.seconds, 6),
            "bytes": self.bytes,
            "bytes_per_second": round(self.bytes / self.seconds) if self.seconds else 0,
            "retransmits": self.retransmits,
        }


def summarise(results: Sequence[Result], seconds: float) -> Report:
    """The report on these machines, which took `seconds` altogether."""
    booted = [result for result in results if not result.failed]
    stages = [(name, [r.stages[name] for r in results if name in r.stages]) for name in STAGES]
    stages.append(("boot", [result.seconds for result in booted]))
    return Report(
        machines=len(results),
        booted=len(booted),
        local=sum(result.local for result in booted),
        again=sum(result.attempts > 1 for result in booted),
        failures=tuple(Counter(result.failed for result in results if result.failed).most_common()),
        stages=tuple((name, spread(times)) for name, times in stages if times),
        seconds=seconds,
        bytes=sum(result.bytes for result in results),
        retransmits=sum(result.retransmits for result in results),
    )


def spread(times: Sequence[float]) -> Spread:
    """Percentiles by nearest rank, so that each is a time that one machine took. `times` is not empty."""
    ordered = sorted(times)
    return Spread(len(ordered), _rank(ordered, 50), _rank(ordered, 99), ordered[-1])


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
