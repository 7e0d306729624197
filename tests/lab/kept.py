"""What a lab's service and machines said, kept in build/log/lab when the tests are over."""

from __future__ import annotations

import shutil
from pathlib import Path

from bootsrv.lab.lab import Lab

KEPT = Path(__file__).parents[2] / "build" / "log" / "lab"


def keep(lab: Lab, prefix: str = "") -> None:
    """`prefix` tells several labs of one run apart."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for path in (lab.service.log, *(machine.console.path for machine in lab.machines)):
        if path.exists():
            name = path.name if path == lab.service.log else f"{path.parent.name}-{path.name}"
            shutil.copyfile(path, KEPT / f"{prefix}{name}")
