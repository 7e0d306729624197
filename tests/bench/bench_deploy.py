"""Imaging a disk: our own way onto a blank file system beside tar + zstd and partclone over HTTP, and onto
one that holds an older version, in one run on a loop device; prints `ratio NAME VALUE` lines.

    python tests/bench/bench_deploy.py [--store DIR --old REF --new REF] [--rounds 2] [--link 1gbit]

Everything comes from one HTTP server on loopback; with --link as fast as such a link is (tc-tbf(8), in a
network namespace of its own). Each run ends with the file system unmounted, so that all
of it is on the disk. Seconds are the best of the rounds, CPU seconds are this side's. Needs root.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers

from bootsrv.lab.seed import seeded_store
from images.agent.inplace.mend import mend
from images.agent.inplace.places import Place
from images.fetch import PackSource
from images.locator import Locator
from images.progress import silent
from images.store import ImageStore
from images.tree_writer import write_tree

SERVER = """
import http.server, re, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\\d+)-(\\d+)", self.headers.get("Range") or "")
        with open(self.translate_path(self.path), "rb") as file:
            start, end = map(int, wanted.groups()) if wanted else (0, file.seek(0, 2) - 1)
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(end - start + 1))
            self.end_headers()
            self.wfile.flush()
            left = end - start + 1
            while left:
                left -= self.connection.sendfile(file, start + (end - start + 1 - left), left)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
MKFS = ["mkfs.ext4", "-F", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1"]
SIZE = 4 << 30


class Disk:
    """A loop device with a file behind it, and a place to mount it."""

    def __init__(self, home: Path) -> None:
        self.mount = home / "mnt"
        self.mount.mkdir()
        file = home / "disk"
        with file.open("wb") as made:
            made.truncate(SIZE)
        self.device = run("losetup", "--find", "--show", str(file)).strip()

    def blank(self) -> None:
        run(*MKFS, self.device)

    def filled(self, work: Callable[[Path], Any]) -> tuple[float, float, Any]:
        """Mounts, works, unmounts: seconds, CPU seconds, what the work brought."""
        os.sync()  # what was written before is no load on this run, and not in memory
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        start, spent = time.monotonic(), cpu()
        run("mount", self.device, str(self.mount))
        try:
            brought = work(self.mount)
        finally:
            run("umount", str(self.mount))
        return time.monotonic() - start, cpu() - spent, brought

    def close(self) -> None:
        run("losetup", "--detach", self.device)


def run(*words: str, **more: Any) -> str:
    done = subprocess.run(words, check=True, capture_output=True, text=True, **more)
    return done.stdout


def cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def packs(store: ImageStore, ref: str, url: str) -> PackSource:
    """The version's chunks over HTTP, as a node gets them."""

    def fetch(pack: str, start: int, length: int) -> bytes:
        where = f"{url}/store/packs/{pack}.pack"
        asked = urllib.request.Request(where, headers={"Range": f"bytes={start}-{start + length - 1}"})
        with urllib.request.urlopen(asked) as answer:
            data: bytes = answer.read()
        return data

    return PackSource(Locator.parse(store.locator(store.resolve(ref).id)), fetch)


def deploy(store: ImageStore, ref: str, url: str) -> Callable[[Path], int]:
    def work(target: Path) -> int:
        source = packs(store, ref, url)
        write_tree(store.manifest(ref), source, target)
        return source.fetched

    return work


def reimage(store: ImageStore, ref: str, old: str, url: str, device: str) -> Callable[[Path], int]:
    def work(target: Path) -> int:
        source, manifest = packs(store, ref, url), store.manifest(ref)
        older = [] if old == ref else [store.manifest(old)]
        mend(manifest, source, older, target, {b"": Place(target, b"", device)}, silent)
        return source.fetched

    return work


def pipe(line: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, stderr=subprocess.DEVNULL)


def best(rounds: int, once: Callable[[], tuple[float, float, Any]]) -> tuple[float, float, Any]:
    return min((once() for _ in range(rounds)), key=lambda row: row[0])


def measure(args: argparse.Namespace, home: Path, url: str, store: ImageStore) -> None:
    disk, size = Disk(home), store.manifest(args.old).header.bytes
    found: dict[str, tuple[float, float, Any]] = {}

    def fresh(work: Callable[[Path], Any]) -> tuple[float, float, Any]:
        disk.blank()
        return disk.filled(work)

    try:
        found["deploy"] = best(args.rounds, lambda: fresh(deploy(store, args.old, url)))
        pack = f"tar -C {disk.mount} --xattrs --acls -cf - . | zstd -q -3 >{home}/www/tar"
        disk.filled(lambda _: pipe(pack))
        tar = f"curl -fsS {url}/tar | zstd -dcq | tar -xpf - --xattrs --acls -C {disk.mount}"
        if clone := peers.command("partclone.ext4"):
            tool = " ".join(clone)
            pipe(f"{tool} -c -s {disk.device} -L {home}/log | zstd -q -3 >{home}/www/clone")
        found["tar+zstd"] = best(args.rounds, lambda: fresh(lambda _: pipe(tar)))
        if clone:
            line = f"curl -fsS {url}/clone | zstd -dcq | {tool} -r -o {disk.device} -L {home}/log; sync"
            found["partclone"] = best(args.rounds, lambda: timed(lambda: pipe(line)))
        fresh(deploy(store, args.old, url))
        again = reimage(store, args.old, args.old, url, disk.device)
        found["reimage same"] = best(args.rounds, lambda: disk.filled(again))
        following = reimage(store, args.new, args.old, url, disk.device)

        def step() -> tuple[float, float, Any]:
            fresh(deploy(store, args.old, url))
            return disk.filled(following)

        found["reimage next"] = best(args.rounds, step)
        found["deploy next"] = best(args.rounds, lambda: fresh(deploy(store, args.new, url)))
    finally:
        disk.close()
    for name, (seconds, used, brought) in found.items():
        bytes_ = f", {brought / 1e6:.1f} MB fetched" if brought is not None else ""
        print(f"{name}: {seconds:.2f} s, {size / seconds / 1e6:.0f} MB/s, {used:.2f} s CPU{bytes_}")
    link = f"_{args.link}" if args.link else ""
    for peer in ("tar+zstd", "partclone"):
        if peer in found:
            name, speed = peer.partition("+")[0], found[peer][0] / found["deploy"][0]
            print(f"ratio deploy_speed_over_{name}{link} {speed:.2f}")
    for name, full in (("same", "deploy"), ("next", "deploy next")):
        mine, whole = found[f"reimage {name}"], found[full]
        print(f"ratio reimage_{name}_time{link} {mine[0] / whole[0]:.3f}")
        print(f"ratio reimage_{name}_bytes{link} {mine[2] / whole[2]:.3f}")


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    start, spent = time.monotonic(), cpu()
    work()
    return time.monotonic() - start, cpu() - spent, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, help="a store with both versions; default: the lab's images")
    parser.add_argument("--old", default="debian@1")
    parser.add_argument("--new", default="debian-b@1")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--link", help="as fast as that, such as 1gbit")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.inside:
        # In mounts of our own: a namespace that somebody makes meanwhile takes a copy of the host's, and a
        # disk that is still mounted in it cannot be made anew.
        words = ["unshare", "--mount", "--propagation", "private", *(["--net"] if args.link else [])]
        os.execvp(words[0], [*words, "--", sys.executable, *sys.argv, "--inside"])
    if args.link:
        run("ip", "link", "set", "lo", "up")
        shape = ("tbf", "rate", args.link, "burst", "512kb", "latency", "100ms")
        run("tc", "qdisc", "add", "dev", "lo", "root", *shape)
    where = args.store or seeded_store({"debian": "debian-12-vm", "debian-b": "debian-12-vm-b"}, print)
    with tempfile.TemporaryDirectory(prefix="bench-deploy-") as folder:
        home = Path(folder)
        (home / "www").mkdir()
        (home / "www/store").symlink_to(where)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=home / "www", stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            measure(args, home, url, ImageStore.open(where, create=False))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
