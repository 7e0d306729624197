"""The update's commands of the one-file agent. Each line of output is one JSON object. Python 3.8, standard
library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

from images.agent.update.resume import resume
from images.agent.update.run import Update
from images.agent.update.task import from_environment
from images.errors import BadInput, ImageError


def say(row: Dict[str, Any]) -> None:
    """One line to whoever started us. When that one is gone we go on: a switch is not left halfway."""
    try:
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(drift: bool) -> int:
    if os.geteuid() != 0:
        raise BadInput("must be run as root")
    for name in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(name, signal.SIG_IGN)
    task = from_environment()
    try:
        update = Update(Path("/"), task, say)
        report = update.drift() if drift else update.run()
        say(report)
    except (ImageError, OSError) as error:
        say({"step": "failed", "error": str(error) or type(error).__name__})
        return 1
    if task.reboot and not drift and any(report[kind] for kind in ("made", "attributes", "removed")):
        subprocess.run(["systemctl", "--no-block", "reboot"], check=False)
    return 0


def run_update(arguments: List[str], server: str) -> int:
    """`update`: become another version. The task comes from the server, see task.py."""
    return _run(drift=False)


def run_drift(arguments: List[str], server: str) -> int:
    """`drift`: what differs from a version."""
    return _run(drift=True)


def run_resume(arguments: List[str], server: str) -> int:
    """`resume`: complete, confirm or take back; what the update unit runs."""
    say({"step": "resumed", "text": resume()})
    return 0
