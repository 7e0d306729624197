"""A storm against the whole service, in two network namespaces joined by a veth pair. Nothing leaves them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
BOOTSRV = str(Path(sys.executable).with_name("bootsrv"))
LOADER, KERNEL, INITRD = 200_001, 1_000_000, 2_000_000
CONFIG = """\
data_dir = "{tmp}/data"
payload_dir = "{tmp}/payload"
interfaces = ["srv0"]
domain = "cluster.test"
[[subnets]]
cidr = "10.94.0.0/16"
mode = "authoritative"
pools = ["10.94.1.0-10.94.1.{last}"]
routers = ["10.94.0.1"]
[dns]
enabled = false
"""


def ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    assert not check or done.returncode == 0, f"ip {words}: {done.stderr}"
    return done.stdout


class House:
    """A server in its namespace, and a place for the storm in the other."""

    def __init__(self, stack: ExitStack, tmp: Path) -> None:
        self.stack, self.tmp = stack, tmp
        self.server, self.client = (f"stormt{os.getpid()}{letter}" for letter in "sc")
        for name in (self.server, self.client):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name, check=False)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "-n",
            self.server,
            "link",
            "add",
            "srv0",
            "type",
            "veth",
            "peer",
            "name",
            "cli0",
            "netns",
            self.client,
        )
        ip("-n", self.server, "address", "add", "10.94.0.1/16", "dev", "srv0")
        ip("-n", self.server, "link", "set", "srv0", "up")
        ip("-n", self.client, "link", "set", "cli0", "up")
        for path, size in (
            ("loaders/undionly.kpxe", LOADER),
            ("loaders/snponly.efi", LOADER),
            ("imager/vmlinuz", KERNEL),
            ("imager/initrd.img", INITRD),
        ):
            file = tmp / "payload" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(size))

    def serve(self, last: int = 255) -> None:
        config = self.tmp / "bootsrv.toml"
        config.write_text(CONFIG.format(tmp=self.tmp, last=last))
        log = self.stack.enter_context((self.tmp / "log").open("w"))
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.server, BOOTSRV, "serve", "--config", str(config)],
            stderr=log,
            stdout=log,
        )
        self.stack.callback(process.wait, 20)
        self.stack.callback(process.send_signal, signal.SIGTERM)
        ends = time.monotonic() + 60
        while "\nready\n" not in "\n" + (self.tmp / "log").read_text():
            assert process.poll() is None and time.monotonic() < ends, (self.tmp / "log").read_text()
            time.sleep(0.1)

    def storm(self, *words: str, interface: str = "cli0", server: str = "10.94.0.1") -> tuple[int, Any]:
        command = ["bench", "storm", "--json", "--interface", interface, "--server", server, *words]
        done = subprocess.run(
            ["ip", "netns", "exec", self.client, BOOTSRV, *command],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(stack, tmp_path)


def test_fifty_machines_boot_and_none_fails(house: House) -> None:
    house.serve(last=59)
    code, report = house.storm("--machines", "50", "--firmware", "mixed", "--limit", "60")
    assert (code, report["booted"], report["failed"], report["failures"]) == (0, 50, 0, [])
    assert list(report["stages"]) == ["dhcp", "tftp", "ipxe dhcp", "script", "http", "boot"]
    assert all(stage["machines"] == 50 for stage in report["stages"].values())
    assert report["bytes"] > 50 * (LOADER + KERNEL + INITRD)
    assert "10.94." not in ip("-n", house.client, "address", "show", "dev", "cli0")
    # The addresses were given back: there are 60, and here come 50 machines with other MACs.
    code, report = house.storm("--machines", "50", "--first", "1000", "--limit", "60")
    assert (code, report["failures"]) == (0, [])


def test_loss_is_survived(house: House) -> None:
    house.serve()
    code, report = house.storm(
        "--machines",
        "50",
        "--loss",
        "0.05",
        "--patience",
        "0.1",
        "--limit",
        "90",
        "--windowsize",
        "8",
        "--attempts",
        "3",
    )
    assert (code, report["failed"]) == (0, 0), report["failures"]
    assert report["retransmits"] > 0


def test_machines_that_get_nothing_are_counted(house: House) -> None:
    house.serve(last=9)
    code, report = house.storm("--machines", "20", "--patience", "0.02", "--limit", "30")
    assert (code, report["booted"], report["failed"]) == (1, 10, 10)
    assert report["failures"] == [{"reason": "dhcp: no OFFER", "machines": 10}]


def test_machines_that_try_again_boot_in_the_end(house: House) -> None:
    """Switched on before the server is: the first attempt is over before it answers."""
    command = [BOOTSRV, "bench", "storm", "--json", "--interface", "cli0", "--server", "10.94.0.1"]
    process = subprocess.Popen(
        ["ip", "netns", "exec", house.client, *command, "--machines", "5", "--patience", "0.02",
         "--limit", "90", "--attempts", "100"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    house.serve()
    out, _ = process.communicate(timeout=100)
    report = json.loads(out)
    assert (report["booted"], report["again"]) == (5, 5)


def test_a_killed_storm_leaves_addresses_that_end_by_themselves(house: House) -> None:
    house.serve()
    command = [BOOTSRV, "bench", "storm", "--interface", "cli0", "--server", "10.94.0.1", "--machines", "5"]
    process = subprocess.Popen(
        ["ip", "netns", "exec", house.client, *command, "--ramp", "60", "--limit", "30"],
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + 30
    while "10.94.1." not in (shown := ip("-n", house.client, "address", "show", "dev", "cli0")):
        assert time.monotonic() < ends
        time.sleep(0.1)
    process.kill()
    process.wait(10)
    assert "valid_lft 1" in shown and "valid_lft forever preferred_lft forever\n    inet " not in shown


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"interface": "nope0"}, "nope0"),
        ({"server": "10.94.0.9"}, "is this machine's own address"),
        ({"server": "x"}, "is not an IPv4 address"),
    ],
)
def test_what_makes_no_sense_is_one_line(house: House, words: dict[str, str], why: str) -> None:
    ip("-n", house.client, "address", "add", "10.94.0.9/16", "dev", "cli0")
    code, text = house.storm(**words)
    assert code in (1, 2) and why in text and "Traceback" not in text
