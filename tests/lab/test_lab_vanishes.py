"""A lab leaves nothing behind, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bootsrv.lab.lab import KIND, PLACE
from images.workplace import sweep

PREFIX = f"bootsrv-{KIND}-"
pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def processes(home: Path) -> dict[int, str]:
    """Process id -> command line of everything that has to do with the lab at `home`."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(home) in line:
                found[int(entry.name)] = line
    return found


def network_of(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def networks() -> set[str | None]:
    return {network_of(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left(how: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    command = [sys.executable, "-m", "bootsrv.cli.main", "lab", "run"]
    command += ["--firmware", "bios", "--memory", "256", "--disk", "64", "--port", "0"]
    with (tmp_path / "out").open("wb") as out:
        lab = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
            # Whoever runs these tests in a shell's background ignores Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    request.addfinalizer(lab.kill)  # a test that fails must not leave a lab either
    said = ""
    deadline = time.monotonic() + 60
    while "Ctrl-C" not in said:
        assert lab.poll() is None and time.monotonic() < deadline, said
        time.sleep(0.1)
        said = (tmp_path / "out").read_text()
    home = PLACE / (PREFIX + said.split(PREFIX)[1].split("/")[0])
    running = processes(home)
    qemu = next(pid for pid, line in running.items() if "qemu-system" in line and "nsenter" not in line)
    assert any("bootsrv.packets" in line for line in running.values())
    network = network_of(qemu)
    assert network not in (None, network_of(os.getpid()))

    lab.send_signal(how)
    assert lab.wait(15) != 0
    deadline = time.monotonic() + 5
    while processes(home) or network in networks():
        assert time.monotonic() < deadline, processes(home)
        time.sleep(0.05)
    assert Path("/proc/self/mounts").read_text() == mounts
    if how == signal.SIGKILL:
        assert home.is_dir(), "its files wait for the next lab, which removes them"
        sweep(PREFIX, PLACE)
    assert not home.exists()
