"""Block devices: our server out of the store, nbdkit's file plugin and nbd-server on the same bytes as a raw
file, on loopback, in the same run.

    python tests/bench/bench_nbd.py [--size-mib 256] [--seconds 1.0] [--rounds 3]

Sequential reads of 128 KiB (4 under way) and random ones of 4 KiB (1) by 1, 16 and 64 clients, turn by
turn, of each the best round; then 64 machines that boot at once, each reading what a boot reads, one
request after the other: from an empty cache, with the trace of an earlier boot, and from a warm one. Reads
are counted by nbd_load.py, after all servers were seen to serve the same bytes. A peer that is missing is
left out.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nbd_load
import peers
import spent

from images.importing.from_disk import import_disk
from images.nbd.trace import Recording
from images.store import ImageStore

HERE = Path(__file__).parent
ROWS = [(n, depth, size, order) for size, order, depth in ((128 << 10, "sequential", 4), (4096, "random", 1))
        for n in (1, 16, 64)]  # fmt: skip
STORM = 64
PROCESSES = min(4, os.cpu_count() or 1)  # `[nbd] processes` as it is when nobody says


def material(path: Path, size: int) -> None:
    """What a root is made of: programs and libraries of this machine, then noise."""
    with path.open("wb") as out:
        for found in sorted(Path("/usr/lib").rglob("*")):
            if out.tell() >= size:
                break
            if found.is_file() and not found.is_symlink():
                out.write(found.read_bytes()[: size - out.tell()])
                out.write(bytes(-out.tell() % 4096))
        out.write(random.Random(1).randbytes(max(0, size - out.tell())))
        out.truncate(size)


def boot_like(size: int) -> list[tuple[int, int]]:
    """Reads as a boot has them: short runs all over the device, a few long ones. A fifth of it, each byte
    once."""
    chance, trace, used, total = random.Random(7), [], set(), 0
    while total < size // 5:
        start = chance.randrange(size >> 17) << 17
        for offset in range(start, start + (chance.choice([1, 1, 2, 4, 16]) << 17), 128 << 10):
            if offset in used or offset + (128 << 10) > size:
                break
            used.add(offset)
            length = chance.choice([4096, 16384, 65536, 131072])
            trace.append((offset, length))
            total += length
    return trace


def free_port() -> int:
    with nbd_load.socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ours(store: Path, root: Path, processes: int) -> Iterator[tuple[int, str, list[int]]]:
    """As many processes as `bootsrv serve` would start, on one port."""
    port, house = free_port(), str(HERE.parent / "nbdhouse.py")
    root.mkdir(parents=True, exist_ok=True)
    running = []
    try:
        for _ in range(processes):
            words = [sys.executable, house, str(store), str(root), str(port)]
            running.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
            until(port)
        time.sleep(0.3)
        yield port, "raw@1", [one.pid for one in running]
    finally:
        for one in running:
            one.terminate()
            one.wait(20)


@contextmanager
def nbdkit(raw: Path, home: Path) -> Iterator[tuple[int, str, list[int]]]:
    command, port = peers.command("nbdkit"), free_port()
    plugins = list((peers.HOME / "nbdkit").rglob("nbdkit-file-plugin.so"))
    plugin = "file" if len(command) == 1 or not plugins else str(plugins[0])
    process = subprocess.Popen(
        [*command, "-f", "-r", "-i", "127.0.0.1", "-p", str(port), plugin, str(raw)],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(port)
        yield port, "", [process.pid]
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def nbd_server(raw: Path, home: Path) -> Iterator[tuple[int, str, list[int]]]:
    port, mark = free_port(), home / "nbd-server.pid"
    (home / "nbd-server.conf").write_text(
        f"[generic]\nlistenaddr = 127.0.0.1\nport = {port}\n[raw]\nexportname = {raw}\nreadonly = true\n"
    )
    words = [*peers.command("nbd-server"), "-C", str(home / "nbd-server.conf"), "-p", str(mark)]
    subprocess.run(words, check=True, capture_output=True)
    try:
        until(port)
        yield port, "raw", [int(mark.read_text())]
    finally:
        os.kill(int(mark.read_text()), signal.SIGTERM)


def until(port: int) -> None:
    ends = time.monotonic() + 10
    while True:
        try:
            nbd_load.socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


def load(port: int, export: str, clients: int, depth: int, length: int, order: str, seconds: float) -> float:
    """In a process of its own."""
    numbers = [str(one) for one in (clients, depth, length, order, seconds)]
    words = [sys.executable, str(HERE / "nbd_load.py"), str(port), export, *numbers]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise OSError(done.stderr.strip()[-300:])
    return float(done.stdout)


def compare(servers: dict[str, tuple[int, str, list[int]]], seconds: float, rounds: int) -> None:
    for clients, depth, length, order in ROWS:
        best, work, count = (dict.fromkeys(servers, 0.0) for _ in range(3))
        for _ in range(rounds):
            for name, (port, export, pids) in servers.items():
                before = sum(map(spent.cpu, pids))
                found = load(port, export, clients, depth, length, order, seconds)
                best[name] = max(best[name], found)
                work[name] += sum(map(spent.cpu, pids)) - before
                count[name] += found * seconds
        what = f"{clients} clients, {length >> 10} KiB {order}"
        numbers = "  ".join(
            f"{name} {rate * length / 1e6:5.0f} MB/s {rate:6.0f}/s {work[name] / count[name] * 1e6:4.0f} us"
            for name, rate in best.items()
        )
        print(f"{what:>30}: {numbers}", flush=True)
        aim = 0.8 if clients == 1 else 1.0
        for name in servers.keys() - {"ours"}:
            print(f"ratio NBD, {what}, {name} {best['ours'] / best[name]:.2f} aim >= {aim}", flush=True)


def check(servers: dict[str, tuple[int, str, list[int]]], raw: Path) -> None:
    """All of them serve the same bytes."""
    data, chance = raw.read_bytes(), random.Random(3)
    for name, (port, export, _) in servers.items():
        sock, size = nbd_load.attach(port, export)
        assert size == len(data), name
        for _ in range(100):
            offset = chance.randrange(size - 200_000)
            length = chance.randrange(1, 200_000)
            assert nbd_load.read(sock, offset, length) == data[offset : offset + length], name
        sock.close()


def copies(servers: dict[str, tuple[int, str, list[int]]]) -> None:
    """nbdcopy reads all of it; libnbd sees no size at nbd-server, so nbdkit is the peer."""
    command = peers.command("nbdcopy")
    if not command or "nbdkit" not in servers:
        return
    took = dict.fromkeys(("ours", "nbdkit"), 1e9)
    for _ in range(4):
        for name in took:
            port, export, _ = servers[name]
            started = time.perf_counter()
            subprocess.run([*command, f"nbd://127.0.0.1:{port}/{export}", "null:"], check=True, timeout=120)
            took[name] = min(took[name], time.perf_counter() - started)
    numbers = "  ".join(f"{name} {value:.2f} s" for name, value in took.items())
    print(f"{'nbdcopy, all of it':>30}: {numbers}")
    print(f"ratio NBD, nbdcopy, nbdkit {took['nbdkit'] / took['ours']:.2f} aim >= 0.8", flush=True)


def peak(pid: int, cache: Path) -> float:
    """MiB of memory that a process had at most, without what it shows of the cache's files, which has a limit
    of its own."""
    most = int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    mapped, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if not line.partition(" ")[0].endswith(":"):
            inside = str(cache) in line
        elif inside and line.startswith("Rss:"):
            mapped += int(line.split()[1])
    return (most - mapped) / 1024


def storm(home: Path, peer: tuple[int, str, list[int]] | None, trace: list[tuple[int, int]]) -> None:
    """Each case by a server that has just been started."""
    took, memory = {}, 0.0
    store = home / "store"
    id = ImageStore.open(store).resolve("raw@1").id
    for case in ("cold", "cold with a trace", "warm"):
        root = home / "storm" / case
        recording = Recording()
        for offset, length in trace:
            recording.note(offset, length)
        if case != "cold":
            (root / "traces").mkdir(parents=True)
            recording.save(root / "traces" / f"{id}.trace")
        with ours(store, root, PROCESSES) as (port, export, pids):
            if case == "warm":
                for _ in pids:
                    nbd_load.replay(port, export, 8, trace)
            took[case] = nbd_load.replay(port, export, STORM, trace)
            memory = max(memory, sum(peak(pid, root) for pid in pids))
    if peer is not None:
        took["nbd-server"] = nbd_load.replay(peer[0], peer[1], STORM, trace)
    for case, (whole, each) in took.items():
        print(f"{f'{STORM} boots, {case}':>30}: {whole:.2f} s, {each * 1e6:.0f} us for a read of each")
        if case != "nbd-server" and peer is not None:
            print(f"ratio NBD, {STORM} boots, {case} {took['nbd-server'][0] / whole:.2f} aim >= 1")
    print(f"ratio NBD, MiB of memory with {STORM} clients {memory:.0f} aim <= 200", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size-mib", type=int, default=256)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--rounds", type=int, default=3)
    args = options.parse_args()
    kinds = {"nbdkit": nbdkit, "nbd-server": nbd_server}
    home = Path(tempfile.mkdtemp(prefix="bench-nbd-"))
    try:
        raw = home / "raw"
        material(raw, args.size_mib << 20)
        import_disk(ImageStore.open(home / "store"), "raw", raw)
        with ExitStack() as stack:
            servers: dict[str, tuple[int, str, list[int]]] = {}
            servers["ours"] = stack.enter_context(ours(home / "store", home / "nbd", PROCESSES))
            for name, kind in kinds.items():
                if peers.command(name):
                    servers[name] = stack.enter_context(kind(raw, home))
            if len(servers) == 1:
                sys.exit("there is nothing to compare with")
            check(servers, raw)
            whole = [(at << 20, 1 << 20) for at in range(args.size_mib)]
            nbd_load.replay(*servers["ours"][:2], 8, whole)
            compare(servers, args.seconds, args.rounds)
            copies(servers)
            storm(home, servers.get("nbd-server"), boot_like(args.size_mib << 20))
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
