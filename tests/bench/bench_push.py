"""A push beside rsync: from a Debian release to its security updates, and once more with nothing changed.

    python tests/bench/bench_push.py [--level 9] [--link 1gbit]

Both in a network namespace of their own, over its loopback, whose counters tell the bytes on the wire; with
--link as fast as such a link is (tc-tbf(8)). The machine is what imaging leaves behind. rsync pulls from its
daemon with -aHAX --delete, with and without -z. The patch set is made once, before; its time is told apart.
The last lines are `ratio NAME VALUE`: ours against rsync's, less is better.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import peers
import spent
from roots import roots

from images.agent.update.remember import remember
from images.importing.from_directory import import_directory
from images.push.patches import LEVEL, patch_set
from images.store import ImageStore
from images.tree_writer import write_tree

HERE = str(Path(__file__).parents[2])
PORT = 8099  # in a namespace of our own
SERVER = """
import asyncio, sys
from pathlib import Path
from images.store import ImageStore
from pxe.http.server import HttpServer

store, patches = ImageStore.open(Path(sys.argv[1])), Path(sys.argv[2])

class Site:
    def store(self, kind, id, token):
        found = {"manifests": store.manifest_path, "locators": store.locator_path, "packs": store.pack_path}
        return patches / id if kind == "patches" else found[kind](id)
    def record_peer(self, *args): pass

async def main():
    server = HttpServer(Site(), Site(), None)
    await server.start([("127.0.0.1", int(sys.argv[3]))])
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
# As `bootsrv push` starts it: the system's Python, isolated.
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]
NODE = """
import json, sys, threading, time
sys.path.insert(0, sys.argv[3])
from pathlib import Path
memory = [0]
def watch():  # what is ours: mapped files are the page cache's
    while True:
        rows = open("/proc/self/status").read().splitlines()
        memory[0] = max(memory[0], *(int(row.split()[1]) for row in rows if row.startswith("RssAnon")))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
from images.agent.update.run import Update
from images.agent.update.task import parse_task
report = Update(Path(sys.argv[1]), parse_task(json.loads(sys.argv[2])), lambda row: None).run()
report["memory_mib"] = memory[0] >> 10
kept = ("made", "removed", "fetched", "patched", "drift", "seconds", "memory_mib")
print(json.dumps({key: report[key] for key in kept if key in report}))
"""
RSYNCD = "use chroot = no\nuid = 0\ngid = 0\n[root]\npath = {root}\nread only = yes\n"


class Cost(NamedTuple):
    """One run: seconds of wall, bytes on the wire, CPU seconds of the server and of the machine."""

    wall: float
    bytes: int
    server: float
    client: float

    def __str__(self) -> str:
        wire = f"{self.wall:6.2f} s  {self.bytes / 1e6:8.2f} MB"
        return f"{wire}  CPU of the server {self.server:.2f} s, of the machine {self.client:.2f} s"


def wire() -> int:
    rows = Path("/proc/net/dev").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.strip().startswith("lo:"))


def measured(command: list[str], server: int) -> Cost:
    os.sync()
    before, cpu, own, began = wire(), spent.cpu(server), os.times(), time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - began, os.times()
    if done.stdout:
        print("   ", done.stdout.strip().splitlines()[-1])
    client = after.children_user + after.children_system - own.children_user - own.children_system
    return Cost(wall, wire() - before, spent.cpu(server) - cpu, client)


def ours(folder: Path, store: ImageStore, level: int) -> tuple[Cost, Cost, Cost]:
    """First push, the same to a second machine, and with nothing changed."""
    old, new = store.resolve("a@1"), store.resolve("a@2")
    began, cpu = time.monotonic(), time.process_time()
    made = patch_set(store, old.id, new.id, folder / "patches", level=level)
    print(
        f"patch set, level {level}: {made.files} files, {made.bytes / 1e6:.1f} MB instead of"
        f" {made.spared / 1e6:.1f}, {time.monotonic() - began:.1f} s, CPU {time.process_time() - cpu:.1f} s"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(store.root), str(folder / "patches"), str(PORT)],
        stdout=subprocess.PIPE,
    )
    task = {
        "url": f"http://127.0.0.1:{PORT}", "token": "t", "key": store.public_key().hex(), "ref": new.ref,
        "manifest": new.id, "base": old.id, "patches": made.id,
    }  # fmt: skip
    try:
        assert server.stdout is not None and server.stdout.readline() == b"ready\n"
        costs = []
        for name in ("one", "two", "one"):
            if not (folder / name).exists():
                machine(folder / name, store)
            costs.append(
                measured([*PYTHON, NODE, str(folder / name), json.dumps(task), HERE], server.pid)
            )
        return costs[0], costs[1], costs[2]
    finally:
        server.terminate()
        server.wait()


def machine(target: Path, store: ImageStore) -> None:
    """What imaging leaves behind."""
    target.mkdir()
    write_tree(store.manifest("a@1"), store.source("a@1"), target)
    time.sleep(0.1)
    remember(target, store.manifest("a@1"))


def rsync(folder: Path, store: ImageStore, source: Path, flags: list[str]) -> tuple[Cost, Cost]:
    """From the release, and with nothing changed."""
    target = folder / f"rsync{''.join(flags)}"
    target.mkdir()
    write_tree(store.manifest("a@1"), store.source("a@1"), target)
    (folder / "rsyncd.conf").write_text(RSYNCD.format(root=source))
    server = subprocess.Popen(
        [
            *peers.command("rsync"),
            "--daemon",
            "--no-detach",
            f"--config={folder / 'rsyncd.conf'}",
            "--port=8730",
        ]
    )
    try:
        command = [*peers.command("rsync"), "-aHAX", "--delete", "--numeric-ids", *flags]
        time.sleep(0.5)
        command += ["rsync://127.0.0.1:8730/root/", f"{target}/"]
        return measured(command, server.pid), measured(command, server.pid)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--level", type=int, default=LEVEL)
    parser.add_argument("--link", help="as fast as that, such as 1gbit")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    release, updated = roots()
    if not peers.command("rsync"):
        return
    if not options.inside:
        words = [sys.executable, *sys.argv, "--inside"]
        os.execvp("unshare", ["unshare", "--net", "--", *words])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if options.link:
        shape = ("tbf", "rate", options.link, "burst", "512kb", "latency", "100ms")
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", *shape], check=True)
    with tempfile.TemporaryDirectory(prefix="bench-push-", dir="/var/tmp") as name:
        folder = Path(name)
        store = ImageStore.open(folder / "store")
        for root in (release, updated):
            import_directory(store, "a", root)
        first, extra, same = ours(folder, store, options.level)
        plain, plain_same = rsync(folder, store, updated, [])
        packed, _ = rsync(folder, store, updated, ["-z"])
    for title, cost in (
        ("push", first), ("push to a second machine", extra), ("push, nothing changed", same),
        ("rsync", plain), ("rsync -z", packed), ("rsync, nothing changed", plain_same),
    ):  # fmt: skip
        print(f"{title:26} {cost}")
    print(f"ratio push.bytes.rsync-z {first.bytes / packed.bytes:.2f}")
    print(f"ratio push.wall.rsync {first.wall / plain.wall:.2f}")
    print(f"ratio push.wall.rsync-z {first.wall / packed.wall:.2f}")
    print(f"ratio push.server-cpu.rsync {extra.server / plain.server:.2f}")
    print(f"ratio push.unchanged.wall.rsync {same.wall / plain_same.wall:.2f}")
    print(f"ratio push.unchanged.bytes.rsync {same.bytes / plain_same.bytes:.3f}")


if __name__ == "__main__":
    main()
