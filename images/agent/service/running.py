"""Whether the agent service runs: as the version that the machine has become wants it, without a boot. Python
3.8, standard library only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from images.agent.service.carried import UNIT_FILE


def follow(unit_file: Path = Path(UNIT_FILE)) -> None:
    """Starts it where the version brought it, stops it where it is gone. One that carries an update out ends
    only when it has told of it."""
    there, runs = unit_file.exists(), not systemctl("is-active", "--quiet", unit_file.name)
    if there != runs:
        systemctl("daemon-reload")
        systemctl("--no-block", "start" if there else "stop", unit_file.name)


def systemctl(*words: str) -> int:
    """Its exit status."""
    try:
        return subprocess.run(
            ["systemctl", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=False,
        ).returncode  # fmt: skip
    except FileNotFoundError:
        return 1
