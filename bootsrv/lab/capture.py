"""What goes over a lab's bridge, written to a pcap file while it happens.

The file format is that of libpcap's savefile (pcap-savefile(5): microseconds, link type Ethernet), so that
Wireshark, tcpdump and scapy read it. Frames are cut after `SNAP` bytes, as tcpdump does: a lab moves
gigabytes. Standard library only, so that it is listening at once.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from bootsrv.lab.errors import LabError
from bootsrv.lab.namespace import Inside, Namespace

SNAP = 2048
_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP, 1)
_ETH_P_ALL = 3
_BUFFER = 32 << 20


class Capture:
    """A context manager; frames are in the file when it ends."""

    def __init__(self, namespace: Namespace, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._process: Inside = namespace.spawn(
            [sys.executable, "-m", "bootsrv.lab.capture", namespace.bridge, str(path)], subprocess.DEVNULL
        )
        ends = time.monotonic() + 20
        while not (path.exists() and path.stat().st_size >= len(_HEADER)):
            if self._process.poll() is not None or time.monotonic() > ends:
                raise LabError(f"nothing can be captured on {namespace.bridge}")
            time.sleep(0.02)

    def close(self) -> None:
        """End it, and wait until all is written."""
        self._process.terminate()
        self._process.wait(10)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> int:
    """`python -m bootsrv.lab.capture INTERFACE FILE`, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    interface, path = sys.argv[1:3]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        wire.bind((interface, 0))
        fresh = Path(path).open("wb", buffering=0)  # noqa: SIM115  # for as long as the process lives
        fresh.write(_HEADER)
        while True:
            frame = os.read(wire.fileno(), 1 << 16)
            now = time.time_ns()
            kept = frame[:SNAP]
            fresh.write(
                struct.pack("<IIII", now // 10**9, now % 10**9 // 1000, len(kept), len(frame)) + kept
            )


if __name__ == "__main__":
    sys.exit(main())
