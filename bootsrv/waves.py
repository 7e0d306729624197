"""Many nodes, a few at a time, first some and then the rest; stopped when too many have failed.

Knows nothing of what is done to a node. A node that was not started counts as left out, never as failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from bootsrv.errors import BootsrvError

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Outcome(Generic[T]):
    """Who was done, who failed and why, who was not started any more."""

    done: list[T] = field(default_factory=list)
    failed: list[tuple[T, Exception]] = field(default_factory=list)
    left: list[T] = field(default_factory=list)


def run(
    items: Sequence[T], act: Callable[[T], None], jobs: int = 8, canary: int = 0, max_fail: int = 0
) -> Outcome[T]:
    """`act` on each, `jobs` at a time; with `canary`, the first so many come before all others.

    Once more than `max_fail` have failed, nothing more is started. A canary that fails ends it as well.
    """
    outcome: Outcome[T] = Outcome()
    lock = Lock()

    def one(item: T) -> None:
        with lock:
            if len(outcome.failed) > max_fail:
                outcome.left.append(item)
                return
        try:
            act(item)
        except Exception as error:
            if not isinstance(error, BootsrvError | OSError):  # ours; it costs no other node its result
                _log.exception("one of %d failed in a way that nobody foresaw", len(items))
            with lock:
                outcome.failed.append((item, error))
        else:
            with lock:
                outcome.done.append(item)

    for number, wave in enumerate((items[:canary], items[canary:]) if canary else (items,)):
        if number and outcome.failed:
            outcome.left += wave
            break
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            list(pool.map(one, wave))
    return outcome
