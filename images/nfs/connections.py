"""Who is connected to an NFS server and what went over the wire: read from the kernel by `ss` (iproute2),
the same for every server. A client keeps its connection for as long as it has something mounted (it closes
one that was idle for five minutes, and opens it at the next access).
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address

from images.nfs.server import tool

_BYTES = re.compile(r"\bbytes_(sent|acked|received):(\d+)")


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection: the client's address and port, bytes to it and from it since it began."""

    client: str
    port: int
    sent: int
    received: int


def connections(port: int) -> list[Connection]:
    """Those to a local port. Raises OSError when they cannot be read."""
    words = [tool("ss") or "ss", "-H", "-t", "-n", "-i", "-O", "state", "established", f"sport = :{port}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ss: {done.stderr.strip()}")
    return parse(done.stdout)


def parse(text: str) -> list[Connection]:
    """What `ss -HtniO state established` prints: queues, local, peer, facts in one line. Other lines are
    skipped."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        host, _, number = fields[3].rpartition(":")
        try:
            address = ip_address(host.strip("[]").partition("%")[0])
        except ValueError:
            continue
        mapped = getattr(address, "ipv4_mapped", None)
        facts = {key: int(value) for key, value in _BYTES.findall(line)}
        found.append(
            Connection(
                str(mapped or address), int(number), facts.get("sent", facts.get("acked", 0)),
                facts.get("received", 0),
            )
        )  # fmt: skip
    return found
