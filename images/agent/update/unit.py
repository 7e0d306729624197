"""The unit that completes, confirms or takes back an update when nobody else does: after a power cut, a
killed session, or a new version that never comes up.

It runs from a copy of the agent kept beside the journal, started before the switch, so that its code is in
memory whatever becomes of the machine's own Python. At a boot it starts as soon as its directory can be
written, and depends on nothing else: a new version that ends in the emergency shell is taken back too.
Python 3.8, standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from images.agent.rootfs import Root
from images.agent.update.state import HOME

UNIT = "bootsrv-update.service"
FILE = f"/etc/systemd/system/{UNIT}"
WANTS = f"/etc/systemd/system/sysinit.target.wants/{UNIT}"
TEXT = f"""\
[Unit]
Description=Complete, confirm or take back an update by bootsrv
DefaultDependencies=no
RequiresMountsFor=/{HOME}
After=systemd-remount-fs.service
Before=shutdown.target
Conflicts=shutdown.target
IgnoreOnIsolate=yes
ConditionPathExists=/{HOME}/journal

[Service]
Type=simple
ExecStart=/usr/bin/python3 /{HOME}/agent/resume.py
Restart=on-failure
RestartSec=20

[Install]
WantedBy=sysinit.target
"""
RESUME = """\
import os, sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "agent.zip"))
from images.agent.command import main

sys.exit(main(["resume"], ""))
"""


def install(root: Path, home: Path) -> bool:
    """Writes agent and unit; False where there is no systemd to run it, or no packed agent to keep."""
    inside = Root(root)
    try:
        there = inside.exists("/usr/lib/systemd/systemd") or inside.exists("/lib/systemd/systemd")
        archive = packed()
        if not there or archive is None:
            return False
        (home / "agent").mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(archive, home / "agent" / "agent.zip")
        (home / "agent" / "resume.py").write_text(RESUME)
        inside.write(FILE, TEXT, 0o644)
        inside.link(WANTS, FILE)
        return True
    finally:
        inside.close()


def packed() -> "str | None":
    """The zip that this program runs from, if it does."""
    source = __file__.partition("/images/agent/")[0]
    return source if source in sys.path and not Path(source).is_dir() else None


def start(root: Path) -> None:
    """Lets it wait beside us, on a machine that runs; it takes over when our lock is free."""
    if str(root) == "/" and Path(FILE).exists():
        subprocess.run(["systemctl", "daemon-reload"], check=False, timeout=120)
        subprocess.run(["systemctl", "start", "--no-block", UNIT], check=False, timeout=120)


def remove(root: Path) -> None:
    """Nothing is to be completed any more. The unit itself may be who says so, and is not stopped by it."""
    inside = Root(root)
    try:
        inside.remove(WANTS)
        inside.remove(FILE)
    finally:
        inside.close()
