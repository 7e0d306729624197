"""Work with mounts of its own: they are seen by one thread and what it starts, and end with it."""

from __future__ import annotations

import ctypes
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from images.progress import Progress

CLONE_NEWNS = 0x00020000
MOUNTS = Path("/proc/thread-self/mounts")  # /proc/self is the process's first thread
T = TypeVar("T")


class Stopped(Exception):
    """Whoever waited for the work was interrupted; the work is told so where it says how far it is."""


def apart(work: Callable[[Progress], T], progress: Progress) -> T:
    """What `work` returns or raises. It is handed a progress to call often. Raises OSError."""
    stop = threading.Event()

    def told(done: int, total: int | None, what: str, /) -> None:
        if stop.is_set():
            raise Stopped
        progress(done, total, what)

    with ThreadPoolExecutor(1, thread_name_prefix="apart") as threads:
        job = threads.submit(_inside, lambda: work(told))
        try:
            return job.result()
        except BaseException:
            stop.set()
            raise


def _inside(work: Callable[[], T]) -> T:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no mount namespace of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
    return work()
