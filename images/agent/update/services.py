"""What still runs the old version after a switch: from what processes have mapped, not from guesses.

A replaced file lives on in the stage while somebody uses it, so a process that maps something from there (or
something deleted) runs old code. Only asked of the machine itself, never of a tree. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Dict, Optional

from images import reboots

_UNIT = re.compile(r"/([^/]+\.service)(?:/|$)", re.MULTILINE)


def needs(root: Path, changed: Sequence[bytes], places: Sequence[str]) -> Dict[str, Any]:
    """`reboot`: whether only a reboot brings the new version to work; `services` to restart otherwise."""
    if str(root) != "/":
        return {"reboot": False, "services": []}
    if any(path.startswith(b"etc/systemd/") or b"/systemd/system/" in path for path in changed):
        subprocess.run(["systemctl", "daemon-reload"], check=False, timeout=120)
    units = {unit for unit in (_unit(pid, places) for pid in _processes()) if unit is not None}
    return {"reboot": bool(reboots.reasons(changed)), "services": sorted(units - {"bootsrv-update.service"})}


def _processes() -> Iterable[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit() and path.name != str(os.getpid())]


def _unit(process: Path, places: Sequence[str]) -> Optional[str]:
    try:
        maps = (process / "maps").read_text(errors="replace")
        group = (process / "cgroup").read_text(errors="replace")
    except OSError:  # it ended
        return None
    marks = tuple(f"/{place}/" for place in places)
    for line in maps.splitlines():
        path = line[73:].strip()
        deleted = path.endswith(" (deleted)") and path.startswith(("/usr", "/lib", "/opt"))
        if deleted or path.startswith(marks):
            found = _UNIT.search(group)
            return found.group(1) if found else None
    return None
