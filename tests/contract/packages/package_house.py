"""A network of its own with this service in it, and a package archive that it may fetch from: nothing else
can be reached there, by nobody."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

PORT, ARCHIVE_PORT = 8080, 3142


class House:
    """`home`/archive is the outside world's archive; `http://127.0.0.1:8080` the service, `urls` below it."""

    def __init__(self, home: Path) -> None:
        self.home, self.data, self.archive = home, home / "data", home / "archive"
        self.archive.mkdir(parents=True, exist_ok=True)
        self.config = home / "bootsrv.toml"
        self.config.write_text(
            f'data_dir = "{self.data}"\n[dhcp]\nenabled = false\n'
            f'[mirrors.debian]\nupstream = "http://127.0.0.1:{ARCHIVE_PORT}/archive"\n'
        )
        self.asked: Counter[str] = Counter()
        self.said: list[str] = []
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && exec sleep 1000"]
        )
        self._started: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Both servers."""
        self._wait(
            lambda: "127.0.0.1" in self.inside(["ip", "address", "show", "dev", "lo"], check=False).stdout
        )
        outside = [sys.executable, "-m", "http.server", "--directory", str(self.home), str(ARCHIVE_PORT)]
        self._spawn(outside, self._heard)
        ours = [sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(self.config)]
        self._spawn(ours, self.said.append)
        self._wait(lambda: "ready" in self.said)

    def _heard(self, line: str) -> None:
        if found := re.search(r'"GET /archive/(\S+) HTTP[^"]*" (\d+)', line):
            self.asked[found[1]] += 1

    def _spawn(self, command: Sequence[str], hear) -> None:  # type: ignore[no-untyped-def]
        process = subprocess.Popen(self._enter(command), stderr=subprocess.PIPE, text=True, bufsize=1)
        self._started.append(process)

        def listen() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                hear(line.rstrip("\n"))

        threading.Thread(target=listen, daemon=True).start()

    def _enter(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-n", "--", *command]

    def inside(self, command: Sequence[str], check: bool = True, **how) -> subprocess.CompletedProcess[str]:  # type: ignore[no-untyped-def]
        """A program in that network."""
        done = subprocess.run(self._enter(command), capture_output=True, text=True, check=False, **how)
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return done

    def cli(self, *words: str) -> str:
        """`bootsrv WORDS`, here: with the host's own way out."""
        command = [sys.executable, "-m", "bootsrv.cli.main", "--config", str(self.config), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _wait(self, what, seconds: float = 40.0) -> None:  # type: ignore[no-untyped-def]
        ends = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < ends, "\n".join(self.said[-10:])
            time.sleep(0.1)

    def close(self) -> None:
        for process in reversed(self._started):
            process.terminate()
        for process in [*self._started, self._holder]:
            if process is self._holder:
                process.kill()
            process.wait(20)
