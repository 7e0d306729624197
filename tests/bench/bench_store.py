"""The store beside casync, restic and borg: import MB/s, and its size after a first and a second version.

    python tests/bench/bench_store.py [--sets root,disk,small,edits] [--scale 8] [--rounds 1]

Sets: `root` a Debian root and the same with security updates; `small` 200,000 small files and 1% of them
changed; `disk` a 4 GB disk image and the same used some more; `edits` a 10 GB file and 1,000 edits in it. All
but `root` are divided by --scale (1: full size). Each tool runs into an empty store, caches warm, one after
the other, as often as --rounds says; the median of each number counts. Wall and CPU seconds are both told,
for a machine that is not quiet. All compress with zstd, at level 3 or what the tool takes for its default.
The two versions lie in different directories: no tool knows a file by its place and times, all is read. The
last lines are `ratio NAME VALUE`: ours against the best of them (speed: more is better; sizes: less is).
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import peers
from roots import roots

OURS = """
import sys
from pathlib import Path
from images.importing.auto import import_image
from images.store import ImageStore
import_image(ImageStore.open(Path(sys.argv[1])), "a", Path(sys.argv[2]), excludes=())
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
MIB = 1 << 20


class Result(NamedTuple):
    """Seconds of wall and CPU and the store's bytes, for the first and the second version."""

    wall: tuple[float, float]
    cpu: tuple[float, float]
    size: tuple[int, int]


def ours(store: Path, source: Path) -> list[str]:
    return [sys.executable, "-c", OURS, str(store), str(source)]


def casync(store: Path, source: Path) -> list[str]:
    store.mkdir(exist_ok=True)
    kind = "caidx" if source.is_dir() else "caibx"
    index = store / f"{time.monotonic_ns()}.{kind}"
    return [*peers.command("casync"), "make", f"--store={store / 'default.castr'}", str(index), str(source)]


def restic(store: Path, source: Path) -> list[str]:
    base = [*peers.command("restic"), "--quiet", "--no-cache", "--repo", str(store)]
    if not store.exists():
        subprocess.run([*base, "init"], check=True, capture_output=True)
    return [*base, "backup", str(source)]


def borg(store: Path, source: Path) -> list[str]:
    base = [*peers.command("borg")]
    if not store.exists():
        subprocess.run([*base, "init", "--encryption=none", str(store)], check=True, capture_output=True)
    return [*base, "create", "--compression=zstd,3", f"{store}::{time.monotonic_ns()}", str(source)]


TOOLS: dict[str, Callable[[Path, Path], list[str]]] = {
    "bootsrv": ours, "casync": casync, "restic": restic, "borg": borg,
}  # fmt: skip


def measure(tool: str, first: Path, second: Path, folder: Path) -> Result:
    """Both versions into one new store."""
    store, wall, cpu, sizes = folder / tool, [], [], []
    for source in (first, second):
        command = TOOLS[tool](store, source)
        os.sync()  # what the one before left to write is not this one's
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        wall.append(time.monotonic() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{tool}: {done.stderr.strip()[-500:]}")
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        sizes.append(held(store))
        if tool == "bootsrv":
            print(f"  bootsrv used {done.stdout.strip()} MiB of memory")
    shutil.rmtree(store)
    return Result((wall[0], wall[1]), (cpu[0], cpu[1]), (sizes[0], sizes[1]))


def median(results: list[Result]) -> Result:
    """Of each number by itself."""

    def middle(name: str, version: int) -> float:
        return statistics.median(getattr(one, name)[version] for one in results)

    return Result(
        (middle("wall", 0), middle("wall", 1)),
        (middle("cpu", 0), middle("cpu", 1)),
        (int(middle("size", 0)), int(middle("size", 1))),
    )


def held(store: Path) -> int:
    """Bytes of a store; ours without its index, which is a cache."""
    files = (path for path in store.rglob("*") if path.is_file() and not path.name.startswith("index.db"))
    return sum(path.stat().st_size for path in files)


# -- what is stored


def two_roots(folder: Path, scale: int) -> tuple[Path, Path]:
    return roots()


def small(folder: Path, scale: int) -> tuple[Path, Path]:
    """Many small files, texts and binaries; of the second version 1% have other content."""
    rng, pair = random.Random(1), (folder / "small-1", folder / "small-2")
    for number in range(200_000 // scale):
        data = " ".join(rng.choices(WORDS, k=rng.randrange(20, 600))).encode()
        for version, top in enumerate(pair):
            path = top / f"{number % 97}" / f"{number % 89}" / f"file{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[:-50] + rng.randbytes(30) if version and number % 100 == 0 else data)
            os.utime(path, (1e9 + version, 1e9 + version))
        if number == 0:
            for top in pair:
                (top / "etc").mkdir()
    return pair


WORDS = [random.Random(n).randbytes(random.Random(n).randrange(1, 6)).hex() for n in range(3000)]


def disk(folder: Path, scale: int) -> tuple[Path, Path]:
    """An ext4 with the release root, as far as it fits; the second version has new files in it."""
    release, _ = roots()
    part, first, second = folder / "part", folder / "disk-1", folder / "disk-2"
    (part / "usr").mkdir(parents=True)
    parts = ("sbin", "share", "bin", "lib")[: 4 if scale == 1 else 3 if scale <= 8 else 1]
    for name in parts:
        shutil.copytree(release / "usr" / name, part / "usr" / name, symlinks=True)
    with first.open("wb") as file:
        file.truncate(4096 * MIB // scale)
    command = ["mkfs.ext4", "-q", "-F", "-d", str(part)]
    subprocess.run([*command, str(first)], check=True)
    subprocess.run(["cp", "--sparse=always", str(first), str(second)], check=True)
    new = folder / "new"
    new.write_bytes(random.Random(2).randbytes(20 * MIB // scale))
    subprocess.run(["debugfs", "-w", "-R", f"write {new} new", str(second)], check=True, capture_output=True)
    return first, second


def edits(folder: Path, scale: int) -> tuple[Path, Path]:
    """A file that compresses to half, and the same with scattered edits: some overwrite, some insert."""
    pair = []
    rng = random.Random(3)
    size, count = 10240 * MIB // scale, 1000 // scale
    places = sorted(rng.randrange(size) for _ in range(count))
    for version in range(2):
        top = folder / f"edits-{version + 1}"
        (top / "etc").mkdir(parents=True)
        with (top / "file").open("wb") as file:
            for number, piece in enumerate(_pieces(size)):
                here = [at % MIB for at in places if at // MIB == number] if version else []
                for at in reversed(here):
                    piece = piece[:at] + b"an edit %d" % at + piece[at + (10 if at % 2 else 0) :]
                file.write(piece)
        pair.append(top)
    return pair[0], pair[1]


def _pieces(size: int) -> Iterator[bytes]:
    for number in range(size // MIB):
        yield random.Random(number).randbytes(MIB // 2).hex().encode()


SETS = {"root": two_roots, "small": small, "disk": disk, "edits": edits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", default="root,small,disk,edits")
    parser.add_argument("--scale", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    ratios: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bootsrv-bench-", dir="/var/tmp") as name:
        os.environ.update(BORG_BASE_DIR=f"{name}/borg-home", RESTIC_PASSWORD="x", LC_ALL="C.UTF-8")
        for one in asked.sets.split(","):
            folder = Path(name) / one
            folder.mkdir()
            first, second = SETS[one](folder, asked.scale)
            bytes_ = total(first)
            print(f"{one}: {bytes_ / 1e6:.0f} MB")
            found: dict[str, Result] = {}
            tools = [tool for tool in TOOLS if tool == "bootsrv" or peers.command(tool)]
            rounds: dict[str, list[Result]] = {tool: [] for tool in tools}
            for _ in range(asked.rounds):
                for tool in tools:
                    rounds[tool].append(measure(tool, first, second, folder))
            for tool in tools:
                found[tool] = median(rounds[tool])
                show(tool, bytes_, found[tool])
            ratios += compare(one, found)
            shutil.rmtree(folder)
    print("\n".join(ratios))


def total(path: Path) -> int:
    """Bytes of data, holes not counted."""
    every = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(min(p.stat().st_size, p.stat().st_blocks * 512) for p in every)


def show(tool: str, bytes_: int, got: Result) -> None:
    rate = " ".join(f"{wall:6.1f} s ({cpu:5.1f} CPU)" for wall, cpu in zip(got.wall, got.cpu, strict=True))
    held_ = " ".join(f"{size / 1e6:7.1f} MB" for size in got.size)
    print(f"  {tool:8} {rate}  {bytes_ / 1e6 / got.wall[0]:6.1f} MB/s  {held_}", flush=True)


def compare(name: str, found: dict[str, Result]) -> list[str]:
    mine, others = found["bootsrv"], [one for tool, one in found.items() if tool != "bootsrv"]
    if not others:
        return []
    grown = [one.size[1] - one.size[0] for one in others]
    rows = {
        "import-speed": min(one.wall[0] for one in others) / mine.wall[0],
        "import-cpu": mine.cpu[0] / min(one.cpu[0] for one in others),
        "second-speed": min(one.wall[1] for one in others) / mine.wall[1],
        "size-first": mine.size[0] / min(one.size[0] for one in others),
        "size-second": mine.size[1] / min(one.size[1] for one in others),
        "growth": (mine.size[1] - mine.size[0]) / max(1, min(grown)),
    }
    return [f"ratio store-{name}-{key} {value:.2f}" for key, value in rows.items()]


if __name__ == "__main__":
    main()
