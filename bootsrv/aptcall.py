"""How apt is called with a state of its own: settings, folders, one command and its complaint.

Standard library only: `run setup` uses it (payloads.py) while the environment is still being installed, and
whatever fetches packages later does (apt.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Of an archive's indexes only those of packages: the rest is many megabytes that nobody reads here.
SETTINGS = """\
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::List-Cleanup "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-large::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""
CONF = "apt.conf"  # below the room


class AptFailed(Exception):
    """The text is the command and the first line that it complained with."""


def furnish(room: Path, parts: Sequence[str], conf: str, sources: str) -> None:
    """A room that apt can work in: `parts` are the folders it writes to."""
    room.chmod(0o755)
    for part in parts:
        (room / part).mkdir(parents=True)
    (room / "sources.list").write_text(sources)
    (room / CONF).write_text(conf + SETTINGS)
    for part in parts:
        try:
            shutil.chown(room / part, "_apt")  # the user apt downloads as; else it warns, and uses root
        except (LookupError, PermissionError):
            break


def call(command: Sequence[str], room: Path | None = None, cwd: Path | None = None) -> str:
    """One of apt's commands (or dpkg's), with the state in `room` or with the host's; its output. It ends
    when we do. Raises AptFailed.
    """
    own = {} if room is None else {"APT_CONFIG": str(room / CONF)}
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", "--", *command],
        env={**os.environ, **own, "LC_ALL": "C.UTF-8"}, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        complaint = next((line for line in lines if line.startswith("E:")), lines[-1])
        raise AptFailed(f"{' '.join(command[:3])} failed: {complaint}")
    return done.stdout
