"""Power by IPMI 2.0, with Debian's ipmitool as a process of its own.

The password goes through the environment (-E), never over a command line that everybody on this host can
read. `-N 3 -R 4`: a controller that is busy loses packets; twelve seconds are its chance.
"""

from __future__ import annotations

import os
import subprocess

from bootsrv.errors import BootsrvError
from bootsrv.power.door import Door

_SECONDS = 60.0


class Ipmi:
    """A `Switch` behind ipmitool."""

    def __init__(self, name: str, door: Door, password: str) -> None:
        self._name, self._door, self._password = name, door, password

    def is_on(self) -> bool | None:
        said = self._run("chassis", "power", "status")
        return True if said.endswith(" on") else False if said.endswith(" off") else None

    def on(self) -> None:
        self._run("chassis", "power", "on")

    def off(self, hard: bool) -> None:
        self._run("chassis", "power", "off" if hard else "soft")

    def cycle(self) -> None:
        # A cycle of a machine that is off is refused by the standard (IPMI 2.0, 28.3).
        self._run("chassis", "power", "cycle" if self.is_on() else "on")

    def network_next(self) -> None:
        self._run("chassis", "bootdev", "pxe")

    def _run(self, *words: str) -> str:
        door = self._door
        command = [
            "ipmitool", "-I", "lanplus", "-H", door.host, "-p", str(door.port), "-U", door.user, "-E",
            "-N", "3", "-R", "4", *(() if door.cipher is None else ("-C", str(door.cipher))), *words,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, env={**os.environ, "IPMI_PASSWORD": self._password}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise BootsrvError("no ipmitool here: apt-get install ipmitool") from error
        except subprocess.TimeoutExpired as error:
            raise BootsrvError(f"{self._name}: {door} did not answer within {_SECONDS:.0f} s") from error
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise BootsrvError(f"{self._name}: {door}: {lines[0]}")
        return done.stdout.strip()
