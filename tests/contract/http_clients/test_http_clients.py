"""Real HTTP clients against the server on loopback: whole files, interrupted ones, and many at once."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit/pxe/http"))
from http_house import House, Running

KERNEL = random.Random(4).randbytes(2_000_003)


@pytest.fixture
def running(tmp_path):
    (tmp_path / "vmlinuz").write_bytes(KERNEL)
    house = House(tmp_path)
    house.files = {"imager/vmlinuz": tmp_path / "vmlinuz"}
    running = Running(house)
    yield running
    running.close()


COMMANDS = {
    "curl": ["curl", "-sS", "--fail", "-o", "got"],
    "curl HTTP/1.0": ["curl", "-sS", "--fail", "--http1.0", "-o", "got"],
    "curl resumes": ["curl", "-sS", "--fail", "-C", "-", "-o", "got"],
    "wget": ["wget", "-q", "-O", "got"],
    "wget resumes": ["wget", "-q", "-c", "-O", "got"],
    "busybox": ["busybox", "wget", "-q", "-O", "got"],
    "busybox resumes": ["busybox", "wget", "-q", "-c", "-O", "got"],
}


@pytest.mark.parametrize("client", COMMANDS)
def test_fetching(running, tmp_path, client):
    command = COMMANDS[client]
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not installed: ./run setup does it")
    if "resumes" in client:
        (tmp_path / "got").write_bytes(KERNEL[:1_000_000])
    subprocess.run([*command, f"{running.url}/boot/imager/vmlinuz"], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "got").read_bytes() == KERNEL


def test_curl_in_parallel_over_kept_connections(running, tmp_path):
    url = f"{running.url}/boot/imager/vmlinuz?[1-40]"
    command = ["curl", "-sS", "--fail", "-Z", "--parallel-max", "20", url, "-o", "part#1"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert all((tmp_path / f"part{i}").read_bytes() == KERNEL for i in range(1, 41))
