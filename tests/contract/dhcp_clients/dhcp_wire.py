"""Two network namespaces joined by a veth pair, our DHCP service in the first; nothing leaves them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

NETNS = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
ROOT = Path(__file__).parents[3]
MAC = "52:54:00:aa:00:01"
SUBNET = {
    "cidr": "10.93.0.0/24",
    "mode": "authoritative",
    "pools": ["10.93.0.100-10.93.0.110"],
    "routers": ["10.93.0.1"],
    "lease_seconds": 60,
    "options": {
        "domain-name-servers": ["10.93.0.1"],
        "interface-mtu": 1400,
        "domain-search": ["a.test", "b.test"],
    },
}


def run(*command: str, check: bool = True, timeout: float = 30) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def eventually(what: Callable[[], Any], seconds: float = 15) -> Any:
    """The first true value of `what`."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        value = what()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


class Wire:
    """The two namespaces and what was recorded by the server in the first."""

    def __init__(self, stack: ExitStack, tmp: Path) -> None:
        self.stack = stack
        self.tmp = tmp
        self.state = tmp / "state"
        self.server, self.client = (f"dhcpt{os.getpid()}{letter}" for letter in "sc")
        for name in (self.server, self.client):
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name, check=False)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.server, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.server, "link", "add", "port", "type", "veth", "peer", "name", "eth0",
            "netns", self.client)  # fmt: skip
        run("ip", "-n", self.server, "link", "set", "port", "master", "br0", "up")
        run("ip", "-n", self.server, "address", "add", "10.93.0.1/24", "dev", "br0")
        run("ip", "-n", self.server, "link", "set", "br0", "up")
        run("ip", "-n", self.client, "link", "set", "eth0", "address", MAC)
        run("ip", "-n", self.client, "link", "set", "eth0", "up")
        eventually(lambda: "LOWER_UP" in run("ip", "-n", self.client, "link", "show", "eth0"))

    def serve(
        self, *reserved: str, config: dict[str, Any] | None = None, **changes: Any
    ) -> subprocess.Popen[str]:
        """Our service; `config` are fields of DhcpConfig, `changes` those of its subnet."""
        command = [
            "ip",
            "netns",
            "exec",
            self.server,
            sys.executable,
            str(Path(__file__).with_name("dhcp_serve.py")),
        ]
        arguments = ["br0", json.dumps({**SUBNET, **changes}), str(self.state), *reserved]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DHCP_SERVE": json.dumps(config or {})}
        process = subprocess.Popen(command + arguments, stderr=subprocess.PIPE, text=True, env=environment)
        self.stack.callback(self.stop, process)
        assert process.stderr is not None
        assert process.stderr.readline().strip() == "ready"
        return process

    def stop(self, process: subprocess.Popen[str], how: int = signal.SIGTERM) -> None:
        if process.poll() is None:
            process.send_signal(how)
            process.wait(10)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A client in the foreground."""
        process = subprocess.Popen(
            ("ip", "netns", "exec", self.client, *command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.stack.callback(process.wait, 10)
        self.stack.callback(lambda: process.poll() is None and process.terminate())
        return process

    def space(self, letter: str) -> str:
        """One more namespace."""
        name = f"{self.server[:-1]}{letter}"
        run("ip", "netns", "add", name)
        self.stack.callback(run, "ip", "netns", "delete", name, check=False)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def inside(self, space: str, *command: str) -> subprocess.Popen[bytes]:
        """A program in a namespace until the end of the test."""
        log = (self.tmp / f"{Path(command[0]).name}.log").open("wb")
        process = subprocess.Popen(
            ("ip", "netns", "exec", space, *command), stdout=log, stderr=subprocess.STDOUT
        )
        self.stack.callback(process.wait, 10)
        self.stack.callback(lambda: process.poll() is None and process.terminate())
        return process

    def on_client(self, *command: str, check: bool = True) -> str:
        return run("ip", "netns", "exec", self.client, *command, check=check)

    def rows(self) -> list[dict[str, Any]]:
        return (
            [json.loads(line) for line in self.state.read_text().splitlines()] if self.state.exists() else []
        )

    def leases(self, state: str) -> list[str]:
        return [row["lease"] for row in self.rows() if row.get("state") == state]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows() if row.get("event") == kind]


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(stack, tmp_path)


def need(tool: str, places: str = "/usr/sbin:/sbin") -> str:
    path = shutil.which(tool) or shutil.which(tool, path=places)
    if path is None:
        pytest.fail(f"{tool} is not installed: ./run setup does it")
    return path
