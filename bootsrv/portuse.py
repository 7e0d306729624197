"""Whether a port can be opened, and who has it if not: tried with a socket, then read from /proc.

Tried, because a table of ports cannot tell: another program may have the same port on another interface only.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h


@dataclass(frozen=True, slots=True)
class Port:
    """A local port. `protocol`: "tcp" or "udp"; `device`: only what comes in on that interface."""

    protocol: str
    number: int
    address: str = "0.0.0.0"
    device: str | None = None


def taken(port: Port) -> bool:
    """Whether somebody else has it. What else may be wrong with it is not this question."""
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM) as probe:
        try:
            if port.protocol == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port.device is not None:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, port.device.encode())
            probe.bind((port.address, port.number))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def holder(port: Port, proc: Path = Path("/proc")) -> str | None:
    """The name (and process id) of who has it; None when it is free."""
    inodes = {
        inode
        for table in (port.protocol, f"{port.protocol}6")
        for inode in _inodes(proc / "net" / table, port)
    }
    if not inodes:
        return None
    owners = _owners(proc, inodes)
    ours = next((pid for pid, _ in owners if is_bootsrv(pid, proc)), None)
    if ours is not None:
        return f"a bootsrv that runs already (process {ours})"
    return next((f"{name} (process {pid})" for pid, name in owners), "another program")


def is_bootsrv(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether that process is one of a running service."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    modules = (module for flag, module in pairwise(words) if flag == b"-m")
    return any(module.startswith(b"bootsrv.") or module == b"webui" for module in modules)


def _inodes(table: Path, port: Port) -> list[str]:
    try:
        rows = table.read_text().splitlines()[1:]
    except FileNotFoundError:
        return []
    found = []
    for row in rows:
        fields = row.split()
        local, state, inode = fields[1], fields[3], fields[9]
        if int(local.rpartition(":")[2], 16) == port.number and (port.protocol == "udp" or state == LISTEN):
            found.append(inode)
    return found


def _owners(proc: Path, inodes: set[str]) -> list[tuple[int, str]]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                found.append((int(process.name), (process / "comm").read_text().strip()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or isn't ours to look at
    return found
