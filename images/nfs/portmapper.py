"""rpcbind, which an NFS server must tell about version 3 (RFC 1833): the machine's own, else one of ours.

Clients that know the ports need it not; the server needs it at its start. Ours lives as long as we do.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import time
from pathlib import Path

from images.nfs.server import tool

log = logging.getLogger(__name__)
SOCKETS = ("/run/rpcbind.sock", "/var/run/rpcbind.sock")
START_SECONDS = 5.0
# It becomes another user and so forgets that it is to end with its parent. A process that does not forget is
# the first one of a namespace, and the kernel ends all of that with it.
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child", "--")
WAIT = ("timeout", "0")


class Portmapper:
    """Started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        """Whether there is one now. False, with a line in the log, where none can be had."""
        if answers():
            return True
        program = tool("rpcbind")
        if program is None:
            log.warning("rpcbind is not installed: NFS by version 4 only")
            return False
        Path("/run/rpcbind").mkdir(mode=0o755, exist_ok=True)  # its state; made at boot where systemd is
        self._process = subprocess.Popen(
            [*WITH_US, *WAIT, program, "-f", "-w"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if answers():
                return True
            time.sleep(0.05)
        log.warning("rpcbind did not start: NFS by version 4 only")
        self.close()
        return False

    def close(self) -> None:
        """End ours."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None


def answers() -> bool:
    """Whether somebody listens where local servers register."""
    for path in SOCKETS:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
                return True
            except OSError:
                continue
    return False
