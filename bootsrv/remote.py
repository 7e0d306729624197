"""Runs the one-file agent on a node: over SSH, as root, with the server's own key.

The law: only a machine that shows a host key which its own imaging reported is logged in to. The agent and
its task travel over standard input, so no secret stands on a command line. What it prints is one JSON object
a line.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bootsrv.errors import BootsrvError, Invalid
from images.agent.bundle import build
from images.agent.update.task import VARIABLE, pack
from images.workplace import workplace

CONNECT_SECONDS = 15
ALIVE_SECONDS = 15  # three unanswered questions end a connection
BROKEN = 255  # ssh's exit status where there is none of the command
Hear = Callable[[Mapping[str, Any]], None]


class Remote:
    """One node. `host_keys` are "TYPE BASE64"; `key` is the private key's file."""

    def __init__(self, name: str, address: str, host_keys: Sequence[str], key: Path) -> None:
        if not host_keys:
            raise Invalid(
                f"{name}: its SSH host key is not known: this server logs in to systems alone that it imaged"
            )
        self.name, self.address, self._keys, self._key = name, address, tuple(host_keys), key

    def own_address(self) -> str:
        """Our address on the way to the node: no packet is sent to find out. Raises BootsrvError."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((self.address, 9))
            except OSError as error:
                raise BootsrvError(f"{self.name}: no way to {self.address}: {error.strerror}") from error
            return str(probe.getsockname()[0])

    def agent(self, words: Sequence[str], task: Mapping[str, Any], url: str, hear: Hear) -> Mapping[str, Any]:
        """Run one command of the agent; its last report. Each earlier line goes to `hear`.

        Raises BootsrvError with the node's own words when it fails or cannot be reached.
        """
        script = f'import os\nos.environ["{VARIABLE}"] = "{pack(dict(task))}"\n'.encode() + build(url)
        with self._files(script) as (known, source, errors):
            # -I -S: the agent needs nothing of what an administrator may have added to that Python
            command = [*self._ssh(known), "python3", "-I", "-S", "-", *words]
            process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=errors)
            last: Mapping[str, Any] = {}
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if last:
                        hear(last)
                    last = _object(line) or last
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if code or not last:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace").strip().splitlines()
                why = str(last.get("error") or "") or (said[-1] if said else _silent(code))
                raise BootsrvError(f"{self.name}: {why}")
            return last

    def command(self, argv: Sequence[str]) -> None:
        """Run one command there, of words without blanks. Raises BootsrvError. A machine that goes away while
        it obeys is no error."""
        with self._files(b"") as (known, source, errors):
            command = [*self._ssh(known), *argv]
            done = subprocess.run(
                command, stdin=source, stdout=subprocess.DEVNULL, stderr=errors, check=False
            )
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip().splitlines()
            if done.returncode and not any("closed by remote host" in line for line in said):
                raise BootsrvError(f"{self.name}: {said[-1] if said else f'exit code {done.returncode}'}")

    @contextmanager
    def _files(self, script: bytes) -> Iterator[tuple[Path, IO[bytes], IO[bytes]]]:
        """known_hosts with this one node, the script, and a place for what ssh says. Raises BootsrvError."""
        try:
            self._key.open("rb").close()
        except FileNotFoundError:
            pass  # ssh tells
        except PermissionError as error:  # ssh would say that the node refuses
            raise BootsrvError(f"{self._key}: {error.strerror}; run it as root (sudo)") from error
        with (
            workplace("ssh", Path(tempfile.gettempdir())) as folder,
            tempfile.TemporaryFile() as source,
            tempfile.TemporaryFile() as errors,
        ):
            known = folder / "known_hosts"
            known.write_text("".join(f"{self.address} {key}\n" for key in self._keys))
            source.write(script)
            source.seek(0)
            yield known, source, errors

    def _ssh(self, known: Path) -> list[str]:
        options = (
            "BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}",
            "GlobalKnownHostsFile=/dev/null", "IdentitiesOnly=yes", f"ConnectTimeout={CONNECT_SECONDS}",
            f"ServerAliveInterval={ALIVE_SECONDS}", "LogLevel=ERROR",
        )  # fmt: skip
        flags = [flag for option in options for flag in ("-o", option)]
        return ["ssh", "-i", str(self._key), *flags, "-l", "root", "--", self.address]


def _silent(code: int) -> str:
    """What an end without a word means; ssh's own status is 255."""
    if code == BROKEN:
        return "it broke off without a word: killed there, or the connection was lost"
    return f"exit code {code}"


def _object(line: bytes) -> Mapping[str, Any] | None:
    """A line of the agent; None for anything else that a login prints."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
