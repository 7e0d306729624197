"""Capture of a tree beside `tar | zstd -1` over the same bytes, and beside casync, restic and borg, which
take it into a store on the same machine: how fast, and what is sent the first and the second time.

    bench_capture.py [DIRECTORY...]    what the tree is made of (default: this machine's programs, libraries)

The agent is the one-file agent in a process of its own, as on a golden machine; the server is the intake
behind HTTP on loopback. The others have no network between; before the second time the tree gets another
name, so that they read all of it, as we do. Prints `ratio NAME VALUE`; above 1 means faster or smaller than
the peer, where several are compared than the best of them.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/bootsrv"))

import peers
from bench_store import TOOLS
from capturehouse import Running
from conftest import make_config

from bootsrv.appliance.appliance import Appliance
from images.agent import bundle

# The largest memory of the agent's own, told when it ends (VmHWM, proc(5)).
PEAK = b"""import atexit, sys
atexit.register(lambda: sys.stderr.write([x for x in open("/proc/self/status") if x[:5] == "VmHWM"][0]))
"""
DEFAULT = ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/python3", "/etc")


def capture(server: Running, root: Path) -> tuple[float, float, int]:
    """(wall seconds, the agent's CPU seconds, bytes on the wire) of one capture."""
    token = server.house.captures.token("golden").text
    script = PEAK + bundle.build(server.url)  # a server makes it once
    os.sync()  # what the peers have written is not for us to wait for
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = ["/usr/bin/python3", "-", "capture", f"--token={token}", "--root", str(root)]
    done = subprocess.run(words, input=script, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(*done.stderr.decode().strip().splitlines()[-2:])
    return time.monotonic() - started, cpu, server.taken


def tar(root: Path) -> tuple[float, int]:
    """(wall seconds, bytes) of the peer."""
    started = time.monotonic()
    size = 0
    with (
        subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as packed,
        subprocess.Popen(["zstd", "-1", "-c"], stdin=packed.stdout, stdout=subprocess.PIPE) as made,
    ):
        assert made.stdout is not None
        while piece := made.stdout.read(1 << 20):
            size += len(piece)
    return time.monotonic() - started, size


def beside(stores: Path, root: Path) -> dict[str, float]:
    """Wall seconds of each peer that can be had here, into its store."""
    took = {}
    for tool in ("casync", "restic", "borg"):
        if not peers.command(tool):
            continue
        words = TOOLS[tool](stores / tool, root)
        started = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        took[tool] = time.monotonic() - started
        if done.returncode:
            sys.exit(f"{tool}: {done.stderr.strip()[-500:]}")
    print(", ".join(f"{tool} {seconds:.1f} s" for tool, seconds in took.items()), flush=True)
    return took


def change(root: Path) -> None:
    """What a day does: a few programs replaced, a few files edited."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    chosen = random.Random(1).sample(files, max(1, len(files) // 50))
    for number, path in enumerate(chosen):
        data = path.read_bytes()
        middle = len(data) // 2
        path.write_bytes(data[:middle] + b"a line more\n" + data[middle:] if number % 2 else data[::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("sources", nargs="*", help="what the tree is made of")
    sources = parser.parse_args().sources or [path for path in DEFAULT if Path(path).is_dir()]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.environ.update(BORG_BASE_DIR=f"{folder}/borg-home", RESTIC_PASSWORD="x", LC_ALL="C.UTF-8")
        home, root, stores = (Path(folder) / name for name in ("house", "machine", "stores"))
        home.mkdir()
        stores.mkdir()
        (root / "etc").mkdir(parents=True)
        for source in sources:
            shutil.copytree(source, root / source.lstrip("/"), symlinks=True, dirs_exist_ok=True)
        total = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
        server = Running(Appliance.open(make_config(home)))
        try:
            peer, packed = tar(root)
            others = beside(stores, root)
            first, cpu, sent = capture(server, root)
            print(f"first capture: {total / first / 1e6:.0f} MB/s, {total / cpu / 1e6:.0f} MB per CPU second")
            change(root)
            root = root.rename(root.with_name("machine-again"))
            later = beside(stores, root)
            second, cpu, again = capture(server, root)
            print(f"second capture: {total / second / 1e6:.0f} MB/s, {(again - sent) / 1e6:.1f} MB sent")
            print(f"ratio capture_first_speed_vs_tar_zstd {peer / first:.2f}")
            print(f"ratio capture_first_bytes_vs_tar_zstd {packed / sent:.2f}")
            print(f"ratio capture_second_speed_vs_tar_zstd {peer / second:.2f}")
            print(f"ratio capture_second_bytes_vs_tar_zstd {packed / max(1, again - sent):.2f}")
            if others:
                print(f"ratio capture-first-speed {min(others.values()) / first:.2f}")
                print(f"ratio capture-second-speed {min(later.values()) / second:.2f}")
        finally:
            server.close()


if __name__ == "__main__":
    main()
