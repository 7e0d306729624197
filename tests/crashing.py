"""Breaking a store at a chosen write: killed there, or the disk is full there."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from images import disk, pack
from images import publish as publishing


class Boom:
    """Counts what touches the disk; at number `at` calls `then` instead."""

    def __init__(self, at: int, then: object) -> None:
        self.count = 0
        self.at = at
        self.then = then
        self._lock = threading.Lock()

    def __call__(self, before: Callable[[], object] | None = None) -> None:
        """`before` is done first where this is the one that breaks."""
        with self._lock:  # packs are finished in a thread: one number, one writer
            self.count += 1
            mine = self.count
        if mine == self.at:
            if before:
                before()
            self.then()  # type: ignore[operator]


@contextlib.contextmanager
def armed(boom: Boom, unlinks: bool = False) -> Iterator[None]:
    """Inside, everything that changes the disk asks `boom` first; `unlinks`: removing files as well."""
    patch = pytest.MonkeyPatch()

    def wrap(module: object, name: str, half: bool = False) -> None:
        real = getattr(module, name)

        def call(*arguments, **named):  # type: ignore[no-untyped-def]
            def middle() -> None:  # a write that stops there
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])

            boom(middle if half else None)
            return real(*arguments, **named)

        patch.setattr(module, name, call)

    for module in (disk, pack, publishing):
        wrap(module, "write_all", half=True)
        if hasattr(module, "create"):
            wrap(module, "create")
    wrap(os, "fsync")
    for module in (disk, pack, publishing):
        wrap(module, "publish_file")
    wrap(Path, "replace")
    wrap(disk, "sync_dir")
    if unlinks:
        wrap(Path, "unlink")
    try:
        yield
    finally:
        patch.undo()


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
