"""A network, mount and process namespace that vanishes with its maker, whatever ends it.

    setpriv --pdeathsig KILL  unshare --net --mount --pid --fork --kill-child  holder

The kernel kills `unshare` when our thread dies (also by kill -9), `unshare`'s death kills the holder, which
is process 1 of the process namespace, and with process 1 goes every process in it; with the last process go
the network namespace, its taps and bridge, and the mounts. Nothing is named, so nothing can be left behind.
Field fact: the parent-death signal follows the *thread* that forked; make a Namespace in one that lives on.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from bootsrv.lab.errors import LabError, LabTimeout

ADDRESS = IPv4Interface("10.77.0.1/24")
TOOLS = ("unshare", "nsenter", "setpriv", "ip", "mount")
GONE_SECONDS = 10.0  # that the kernel may take over a killed process


class Namespace:
    """The place a lab runs in. A context manager; `close` is idempotent."""

    def __init__(self, address: IPv4Interface = ADDRESS, bridge: str = "br0") -> None:
        """Make the namespaces and the bridge; raises LabError when this host cannot."""
        self.address = address
        self.bridge = bridge
        self._taps = 0
        _check_host()
        command = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--pid", "--fork",
                   "--kill-child=KILL", "--mount-proc", "--",
                   sys.executable, "-m", "bootsrv.lab.holder", bridge, str(address)]  # fmt: skip
        self._unshare = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self._unshare.stdout and self._unshare.stderr
        if self._unshare.stdout.readline() != "up\n":
            complaint = self._unshare.stderr.read().strip().splitlines() or ["no reason given"]
            self.close()
            raise LabError(f"cannot make the lab's namespace: {complaint[-1]}")
        self.pid = _only_child(self._unshare.pid)

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` inside; it dies with the process that starts it."""
        inside = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *inside]

    def spawn(
        self, command: Sequence[str], output: IO[Any] | int, env: Mapping[str, str] | None = None
    ) -> Inside:
        """Start `command` inside with its output and errors going to `output`."""
        process = subprocess.Popen(
            self.enter(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env,
            start_new_session=True,
        )  # fmt: skip
        return Inside(process)

    def run(
        self, command: Sequence[str], timeout: float = 60.0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` inside to its end, at most `timeout` seconds. The caller looks at the return code."""
        try:
            return subprocess.run(
                self.enter(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=timeout, env=env,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise LabTimeout(f"{' '.join(command[:4])} did not end within {timeout:.0f} s") from error

    def add_tap(self) -> str:
        """A new tap on the bridge, up; its name."""
        name = f"tap{self._taps}"
        self._taps += 1
        for arguments in (
            ["tuntap", "add", "dev", name, "mode", "tap"],
            ["link", "set", name, "master", self.bridge, "up"],
        ):
            done = self.run(["ip", *arguments])
            if done.returncode:
                raise LabError(f"cannot make {name}: {done.stderr.strip()}")
        return name

    def close(self) -> None:
        """End everything inside."""
        if self._unshare.poll() is None:
            self._unshare.kill()
        self._unshare.wait()
        for pipe in (self._unshare.stdin, self._unshare.stdout, self._unshare.stderr):
            if pipe:
                pipe.close()

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Inside:
    """A process inside the namespace; signals reach the process itself, not the `nsenter` in front of it."""

    def __init__(self, nsenter: subprocess.Popen[Any]) -> None:
        self._nsenter = nsenter

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._nsenter.poll()

    def wait(self, timeout: float) -> int:
        """Its exit code; LabTimeout after `timeout` seconds."""
        try:
            return self._nsenter.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise LabTimeout(f"a process did not end within {timeout:.0f} s") from error

    @property
    def pid(self) -> int:
        """Its process id as the host sees it. LabError when it has ended."""
        ends = time.monotonic() + 10  # a process that has just been started may not be there yet
        while True:
            try:
                return _only_child(self._nsenter.pid)
            except LabError:
                if self.poll() is not None or time.monotonic() > ends:
                    raise
            time.sleep(0.02)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Take its life, as a power cut would; returns when it is gone."""
        if self.poll() is None:
            self._kill_child()
            self._nsenter.kill()
        self._nsenter.wait()

    def _kill_child(self) -> None:
        """And wait until it is gone: until then it holds what it had open, as a tap."""
        try:
            child = os.pidfd_open(self.pid)
        except (LabError, ProcessLookupError):  # it has ended meanwhile
            return
        try:
            signal.pidfd_send_signal(child, signal.SIGKILL)
            if not select.select([child], [], [], GONE_SECONDS)[0]:
                raise LabTimeout(f"a killed process was not gone within {GONE_SECONDS:.0f} s")
        except ProcessLookupError:
            return
        finally:
            os.close(child)


def _check_host() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise LabError(f"the lab needs {', '.join(missing)}: apt-get install util-linux iproute2 mount")
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces: run it as root")
    if not Path("/dev/net/tun").exists():
        raise LabError("the lab needs /dev/net/tun: modprobe tun, or let the container use that device")


def _only_child(pid: int) -> int:
    """The process id of the one child of `pid`, as seen from here."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not children:
        raise LabError(f"process {pid} of the lab ended early")
    return int(children[0])
