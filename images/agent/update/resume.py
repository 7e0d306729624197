"""What the update unit does: complete a switch that was broken off; then, where a confirmation was asked for,
wait until this machine has called home healthy, or take the update back.

Healthy: the boot is over, no unit has failed that had not failed before, and the server answers our call,
which says that we stay what we are. The time runs anew from a boot, since a clock may be wrong then. Python
3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from pathlib import Path
from typing import Dict

from images.agent import home
from images.agent.client import believing
from images.agent.rootfs import Root
from images.agent.service import running
from images.agent.update.folders import Folders
from images.agent.update.settle import WAIT, Settling
from images.agent.update.state import State

EVERY = 5.0  # seconds between two looks
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def resume(root: Path = Path("/"), every: float = EVERY) -> str:
    """Runs to the end; what became of the update."""
    state = State(root)
    with (state.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever switches now is waited for
        tree = Folders(root)
        settling = Settling(root, tree, state)
        try:
            if settling.phase() not in ("", WAIT):
                settling.recover()
            if settling.phase() != WAIT:
                return "settled"
            about = settling.about()
        finally:
            tree.close()
    return _confirm(root, state, about, every)


def _confirm(root: Path, state: State, about: Dict[str, object], every: float) -> str:
    minutes, journal = float(str(about["confirm"])), state.journal.stat().st_ino
    ends = time.monotonic() + minutes * 60
    booted = BOOT_ID.read_text().strip() != about.get("boot_id")
    healthy = False
    while not healthy and time.monotonic() < ends:
        if not state.journal.exists() or state.journal.stat().st_ino != journal:
            return "settled by another update"
        ready = booted or not about.get("reboot")
        healthy = (
            ready
            and not (booted and booting())
            and not (failed_units() - set(_texts(about.get("failed"))))
            and call_home(root, confirmed="1")
        )
        if not healthy:
            time.sleep(max(0.0, min(every, ends - time.monotonic())))
    with (state.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = Folders(root)
        settling = Settling(root, tree, state)
        try:
            if settling.phase() != WAIT:
                return "settled by another update"
            (settling.settle if healthy else settling.back)()
        finally:
            tree.close()
    if not healthy and not call_home(root, returned="not confirmed in time") and str(root) == "/":
        print("bootsrv: returned to the version before; the server does not answer", flush=True)
    if not healthy and str(root) == "/":
        if booted:
            subprocess.run(["systemctl", "reboot"], check=False)
        else:
            running.follow()
    return "confirmed" if healthy else "returned"


def _texts(value: object) -> "list[str]":
    return [str(one) for one in value] if isinstance(value, list) else []


def failed_units() -> "set[str]":
    """Units that systemd calls failed; none where there is no systemd."""
    try:
        done = subprocess.run(
            ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--full"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return set()
    return {line.split()[0] for line in done.stdout.splitlines() if line.split()}


def booting() -> bool:
    """Whether systemd has not come to the end of the boot (or came to a shell for emergencies); False where
    there is none.
    """
    try:
        done = subprocess.run(
            ["systemctl", "is-system-running"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in (b"initializing", b"starting", b"maintenance", b"stopping")


def call_home(root: Path, **more: str) -> bool:
    """Says what we are, as the unit that imaging installed does at each boot, and `more`; whether the server
    took it.
    """
    import urllib.parse  # only here: the agent starts sooner without
    import urllib.request

    inside = Root(root)
    try:
        conf, certificate = home.read(inside), inside.read_text(home.CERTIFICATE)
    finally:
        inside.close()
    if not conf.get("url", "").startswith(("http://", "https://")):
        return False
    said = {
        "hostname": Path("/proc/sys/kernel/hostname").read_text().strip(), "image": conf.get("image", ""),
        "boot_id": BOOT_ID.read_text().strip(), "kernel": os.uname().release,
        "uptime": Path("/proc/uptime").read_text().split()[0], **more,
    }  # fmt: skip
    request = urllib.request.Request(conf["url"], urllib.parse.urlencode(said).encode())  # noqa: S310 - http
    request.add_header("Authorization", f"Bearer {conf.get('token', '')}")
    try:
        context = believing(certificate) if conf["url"].startswith("https:") else None
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:  # noqa: S310 - as above
            return bool(answer.status == 200)
    except OSError:  # includes every HTTP status of 400 and more
        return False
