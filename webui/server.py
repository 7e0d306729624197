"""The web process: gunicorn with threads on a Unix socket, ready and quiet.

One worker process, because the event hub and the login throttle live in its memory; threads, because a live
page holds one for as long as it is open. The supervisor learns through an inherited pipe that the socket
listens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from bootsrv.child import ready

THREADS = 48
GRACE = 5  # seconds for what is being answered when the process is told to end
LIVE_PAGES = 32  # the rest of the threads stays free for ordinary requests


class WebServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn without its own command line."""

    def __init__(self, socket: Path, make: Callable[[Callable[[], bool]], Flask]) -> None:
        self._socket, self._make = socket, make
        self._worker: Any = None
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"unix:{self._socket}",
            "umask": 0o007,
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "graceful_timeout": GRACE,
            "timeout": 60,
            "keepalive": 30,
            "proc_name": "bootsrv-web",
            "control_socket_disable": True,
            "limit_request_line": 4094,
            "loglevel": "warning",
            "post_worker_init": self._worker_up,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        # In the worker, after the fork: database connections must not be inherited.
        return self._make(self._stopping)

    def _worker_up(self, worker: Any) -> None:
        self._worker = worker
        if worker.age == 1:  # a worker that replaces a crashed one has nobody waiting for it
            ready()

    def _stopping(self) -> bool:
        return self._worker is not None and not self._worker.alive
