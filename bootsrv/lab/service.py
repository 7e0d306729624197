"""`bootsrv serve` inside the lab, run as an administrator would: its own process, its own data directory.

The verbs are the real command line too. Those that need the Internet (importing an image from a recipe) run
on the host's side of the wall; they only touch the data directory.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from bootsrv.lab.errors import LabError, LabTimeout
from bootsrv.lab.namespace import Inside, Namespace
from bootsrv.lab.ssh import Ssh

CONFIG = """\
# Written by the lab; everything in here lives in the lab's own network namespace.
data_dir = "{data}"
interfaces = ["{bridge}"]
domain = "{domain}"

[[subnets]]
cidr = "{network}"
mode = "authoritative"
pools = ["{first}-{last}"]
routers = ["{address}"]
lease_seconds = 3600

[http]
port = {port}
tls_port = {tls_port}

[imager]
kernel_args = "no_timer_check"  # or a busy host makes an emulated machine panic

[nodes]
ssh_authorized_keys = ["{key}"]
"""
TLS_PORT = 8443
_LOGIN = re.compile(r"first login: user (\S+), password (\S+)")


class Service:
    """The appliance of one lab, off until `start`. `home` gets its configuration, log and data."""

    def __init__(
        self, namespace: Namespace, home: Path, domain: str = "cluster.test", port: int = 8080
    ) -> None:
        self.home = home
        self.data = home / "data"
        self.config = home / "bootsrv.toml"
        self.log = home / "serve.log"
        self.domain = domain
        self._namespace = namespace
        self.ssh = Ssh(namespace, home)
        self._process: Inside | None = None
        self._logged = 0
        address = namespace.address
        first: IPv4Address = address.network.network_address
        self.config.write_text(
            CONFIG.format(
                data=self.data, bridge=namespace.bridge, domain=domain, network=address.network,
                address=address.ip, first=first + 100, last=first + 199, port=port, tls_port=TLS_PORT,
                key=self.ssh.public,
            )
        )  # fmt: skip
        self._env = {**os.environ, "BOOTSRV_CONFIG": str(self.config), "TERM": "dumb"}

    def start(self, timeout: float = 90.0) -> None:
        """Start it and wait until it says `ready`. LabError with its last words when it does not."""
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = self._namespace.spawn(
                [*self._cli(), "serve", "--config", str(self.config)], log, env=self._env
            )
        deadline = time.monotonic() + timeout
        while "ready" not in self.said():
            if self._process.poll() is not None:
                raise LabError(f"bootsrv serve ended: {self._last_words()}")
            if time.monotonic() > deadline:
                raise LabTimeout(f"bootsrv serve was not ready in {timeout:.0f} s: {self._last_words()}")
            time.sleep(0.05)

    def stop(self, timeout: float = 20.0) -> int:
        """End it as systemd would; its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    def said(self) -> list[str]:
        """The lines it logged since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._logged)
            return log.read().decode("utf-8", "replace").splitlines()

    def first_login(self) -> tuple[str, str]:
        """User and password, as printed at the very first start."""
        found = _LOGIN.search(self.log.read_text())
        if not found:
            raise LabError(f"no first login in {self.log}")
        return found[1], found[2]

    def cli(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run a verb inside the lab; its output. LabError with its error line when it fails."""
        done = self._namespace.run([*self._cli(), *arguments], timeout, env=self._env)
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip() or "no reason given"
            raise LabError(f"bootsrv {' '.join(arguments)}: exit {done.returncode}: {said}")
        return done.stdout

    def listing(self, *arguments: str) -> Any:
        """Run a verb with --json; what it lists."""
        return json.loads(self.cli(*arguments, "--json"))

    def outside(self, *arguments: str, timeout: float = 900.0) -> None:
        """Run a verb on the host's side, with the terminal's own output."""
        env = {**self._env, "TERM": os.environ.get("TERM", "dumb")}
        done = subprocess.run([*self._cli(), *arguments], env=env, timeout=timeout, check=False)
        if done.returncode:
            raise LabError(f"bootsrv {' '.join(arguments)} failed with exit code {done.returncode}")

    def _cli(self) -> list[str]:
        return [sys.executable, "-m", "bootsrv.cli.main"]

    def _last_words(self) -> str:
        lines = [line for line in self.said() if line.strip()]
        return lines[-1] if lines else "it said nothing"
