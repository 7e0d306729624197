"""Process 1 of a lab's namespaces: makes the bridge, says so, and lives exactly as long as the lab.

The law: when this process is gone, the kernel takes everything of the lab with it: processes, taps, bridge
and mounts. It ends when its standard input closes, and is killed when whoever started the lab dies, however
it died (see `bootsrv.lab.namespace`). Standard library only, so that it starts at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def main() -> int:
    """`python -m bootsrv.lab.holder BRIDGE ADDRESS/PREFIX`, started by Namespace only."""
    bridge, address = sys.argv[1:3]
    # The old /sys shows the network devices of the namespace it was mounted in.
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    _ip("link", "set", "lo", "up")
    _ip("link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0")
    _ip("address", "add", address, "dev", bridge)
    _ip("link", "set", bridge, "up")
    # Process 1 inherits the orphans; the kernel buries them when nobody asks how they died.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the lab, which ends us in its own order
    sys.stdout.write("up\n")
    sys.stdout.flush()
    while os.read(0, 1024):
        continue
    return 0


if __name__ == "__main__":
    sys.exit(main())
