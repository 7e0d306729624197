"""The update's commands of the one-file agent. Each line of output is one JSON object. Python 3.8, standard
library only."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Dict, List

from images.agent import home
from images.agent.rootfs import Root
from images.agent.update.run import Update
from images.agent.update.task import Task, from_environment
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
        if not drift:
            renew_home(Path("/"), task)
        update = Update(Path("/"), task, say)
        report = update.drift() if drift else update.run()
        say(report)
    except (ImageError, OSError) as error:
        say({"step": "failed", "error": str(error) or type(error).__name__})
        return 1
    changed = not drift and any(report[kind] for kind in ("made", "attributes", "removed"))
    if not changed:
        return 0
    from images.agent.service import running  # only here, as what an update needs: most find nothing to do

    if task.reboot:
        running.systemctl("--no-block", "reboot")
    else:
        running.follow()
    return 0


def renew_home(top: Path, task: Task) -> None:
    """Where this machine calls home and whom it believes there, as the task says: the server may have moved
    to HTTPS, or have another certificate. Before anything else, since a confirmation is such a call."""
    root = Root(top)
    try:
        conf = home.read(root)
        if not conf.get("token"):
            return  # imaged by nobody
        url, key = f"{task.url}/node/v1/home", task.key.hex()
        secure = task.url.startswith("https://")
        known = [conf.get("url"), root.read_text(home.KEY).strip()]
        if secure:
            known.append(root.read_text(home.CERTIFICATE))
        if known != [url, key, *([task.certificate] if secure else [])]:
            row = {"secure": url, "certificate": task.certificate, "pin": task.pin} if secure else {}
            plain = conf.get("url", "") if secure else url
            row.update(url=plain, token=conf["token"])
            home.renew(root, home.parse_callback(row, task.key), conf.get("image", ""))
    finally:
        root.close()


def run_update(arguments: List[str], server: str) -> int:
    """`update`: become another version. The task comes from the server, see task.py."""
    return _run(drift=False)


def run_drift(arguments: List[str], server: str) -> int:
    """`drift`: what differs from a version."""
    return _run(drift=True)


def run_resume(arguments: List[str], server: str) -> int:
    """`resume`: complete, confirm or take back; what the update unit runs."""
    from images.agent.update.resume import resume

    say({"step": "resumed", "text": resume()})
    return 0
