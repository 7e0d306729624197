"""CPU time of a server, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def cpu(pid: int) -> float:
    """Seconds in user and kernel mode, with those of its children: running ones, and ended ones that it
    waited for."""
    ticks, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            tasks = list(Path(f"/proc/{one}/task").iterdir())
            todo += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
