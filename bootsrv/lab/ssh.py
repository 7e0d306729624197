"""Logging in to the lab's machines: a key pair made for this lab, whose public half every node gets."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bootsrv.lab.errors import LabError
from bootsrv.lab.namespace import Namespace

CONNECTION_FAILED = 255  # ssh's own exit code, whatever the command would have returned


class Ssh:
    """`run` on a node as root. The key lives in `home` and is gone with the lab."""

    def __init__(self, namespace: Namespace, home: Path) -> None:
        self._namespace = namespace
        self.key = home / "id_ed25519"
        try:
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(self.key)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise LabError("the lab needs ssh-keygen: apt-get install openssh-client") from error
        self.public = self.key.with_suffix(".pub").read_text().strip()

    def command(self, address: str, words: Sequence[str]) -> list[str]:
        """The command line that runs `words` on the node at `address`, to be started inside the lab.

        Host keys are not kept: the next imaging gives the machine new ones.
        """
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                   "ConnectTimeout=20", "LogLevel=ERROR"]  # fmt: skip
        flags = [flag for option in options for flag in ("-o", option)]
        return ["ssh", "-i", str(self.key), *flags, f"root@{address}", "--", *words]

    def run(self, address: str, *words: str, timeout: float = 60.0) -> str:
        """Run a command on the node; its output. LabError when it fails or nobody answers in time.

        A machine calls home before its sshd is up, so a refused connection is tried again.
        """
        deadline = time.monotonic() + timeout
        while True:
            done = self._namespace.run(self.command(address, words), timeout)
            if done.returncode == 0:
                return done.stdout
            if done.returncode != CONNECTION_FAILED or time.monotonic() > deadline:
                raise LabError(f"ssh {address} {' '.join(words)}: {done.stderr.strip() or done.returncode}")
            time.sleep(1)
