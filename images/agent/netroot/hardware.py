"""Drivers for what this machine has: every device's alias is handed to modprobe, whose index holds only what
a root over the network needs. Again when a bus that was found brought more devices.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from images.agent.netroot.mounts import modprobe

DEVICES = Path("/sys/devices")


def coldplug() -> None:
    """Loads drivers until nothing new shows up."""
    known: set[str] = set()
    while fresh := _aliases() - known:
        modprobe(sorted(fresh))
        known |= fresh


def _aliases() -> set[str]:
    found = set()
    for folder, _, files in os.walk(DEVICES):
        if "modalias" in files:
            try:
                found.add(Path(folder, "modalias").read_text().strip())
            except OSError:  # it went away while we looked
                continue
    return found - {""}
