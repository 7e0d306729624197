"""Real TFTP clients against the server on loopback: each reads, and writes where it can."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tftpy

sys.path.insert(0, str(Path(__file__).parents[2] / "unit/pxe/tftp"))
from tftp_house import TftpHouse

BIG = random.Random(5).randbytes(1_000_003)
EVEN = random.Random(6).randbytes(512 * 40)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    public = tmp_path_factory.mktemp("public")
    (public / "big").write_bytes(BIG)
    (public / "even").write_bytes(EVEN)
    (public / "empty").write_bytes(b"")
    (public / "text").write_bytes(b"one\ntwo\rthree\n")
    # 3 blocks more than the numbers last, at the smallest block size there is.
    (public / "many").write_bytes(random.Random(7).randbytes(8 * 65_538 + 1))
    house = TftpHouse(public)
    yield house
    house.close()


def run(command, cwd):
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not installed: ./run setup does it")
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def readers(port, port6):
    here = ["127.0.0.1", str(port)]
    url, url6 = f"tftp://127.0.0.1:{port}", f"tftp://[::1]:{port6}"
    windowed = ["--option", "blksize 1428", "--option", "windowsize 16"]
    return {
        "curl": lambda n: ["curl", "-sS", "-o", "got", f"{url}/{n}"],
        "curl large": lambda n: ["curl", "-sS", "--tftp-blksize", "65464", "-o", "got", f"{url}/{n}"],
        "curl plain": lambda n: ["curl", "-sS", "--tftp-no-options", "-o", "got", f"{url}/{n}"],
        "curl IPv6": lambda n: ["curl", "-sS", "-o", "got", f"{url6}/{n}"],
        "busybox": lambda n: ["busybox", "tftp", "-g", "-r", n, "-l", "got", "-b", "1468", *here],
        "atftp": lambda n: ["atftp", "-g", "-r", n, "-l", "got", *here],
        "atftp windows": lambda n: ["atftp", *windowed, "-g", "-r", n, "-l", "got", *here],
        "tftp-hpa": lambda n: ["tftp", "-m", "binary", *here, "-c", "get", n, "got"],
    }


def takes(client, name):
    """curl takes tsize=0 for an error."""
    return name != "empty" or not client.startswith("curl") or client == "curl plain"


@pytest.mark.parametrize(
    ("client", "name"), [(c, n) for c in readers(0, 0) for n in ("big", "even", "empty") if takes(c, n)]
)
def test_reading(house, tmp_path, client, name):
    run(readers(house.port, house.port6)[client](name), tmp_path)
    got = (tmp_path / "got").read_bytes() if (tmp_path / "got").exists() else b""
    assert got == {"big": BIG, "even": EVEN, "empty": b""}[name]


def test_text_mode(house, tmp_path):
    run(["tftp", "-m", "ascii", "127.0.0.1", str(house.port), "-c", "get", "text", "got"], tmp_path)
    assert (tmp_path / "got").read_bytes() == b"one\ntwo\rthree\n"


def test_tftpy(house, tmp_path):
    client = tftpy.TftpClient("127.0.0.1", house.port, {"blksize": 1428, "tsize": 0})
    client.download("big", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == BIG


@pytest.mark.parametrize("blksize", ["curl", "atftp"])
def test_more_blocks_than_numbers(house, tmp_path, blksize):
    here = ["127.0.0.1", str(house.port)]
    commands = {
        "curl": ["curl", "-sS", "--tftp-blksize", "8", "-o", "got", f"tftp://127.0.0.1:{house.port}/many"],
        "atftp": ["atftp", "--option", "blksize 8", "-g", "-r", "many", "-l", "got", *here],
    }
    run(commands[blksize], tmp_path)
    assert (tmp_path / "got").read_bytes() == random.Random(7).randbytes(8 * 65_538 + 1)


def writers(port):
    here = ["127.0.0.1", str(port)]
    windowed = ["--option", "blksize 1428", "--option", "windowsize 8"]
    return {
        "curl": ["curl", "-sS", "-T", "mine", f"tftp://127.0.0.1:{port}/up/curl"],
        "busybox": ["busybox", "tftp", "-p", "-l", "mine", "-r", "up/busybox", *here],
        "atftp": ["atftp", "-p", "-l", "mine", "-r", "up/atftp", *here],
        "atftp windows": ["atftp", *windowed, "-p", "-l", "mine", "-r", "up/atftp", *here],
        "tftp-hpa": ["tftp", "-m", "binary", *here, "-c", "put", "mine", "up/hpa"],
    }


UPLOADS = {"big": BIG, "even": EVEN, "empty": b""}


@pytest.mark.parametrize(  # curl does not upload an empty file
    ("client", "name"), [(c, n) for c in writers(0) for n in UPLOADS if (c, n) != ("curl", "empty")]
)
def test_writing(house, tmp_path, client, name):
    data = UPLOADS[name]
    (tmp_path / "mine").write_bytes(data)
    run(writers(house.port)[client], tmp_path)
    upload = house.uploads[-1]
    assert upload.state == "finished"
    assert upload.data == data


def test_a_missing_file_is_said_to_be_missing(house, tmp_path):
    done = subprocess.run(
        ["curl", "-sS", f"tftp://127.0.0.1:{house.port}/none"], capture_output=True, timeout=20
    )
    assert done.returncode == 68  # curl's code for TFTP "file not found"
