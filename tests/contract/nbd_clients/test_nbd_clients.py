"""Real NBD clients against the server on loopback: libnbd's and qemu's programs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nastytree
import pytest
from imagestore import noise
from nbdhouse import House, Peer, many_files, serving

from images.importing.from_directory import import_directory
from images.importing.from_disk import import_disk
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")
DISK = 24 << 20


def run(*words: object, fine: bool = True) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    assert not fine or done.returncode == 0, done.stderr
    return done.stdout if fine else done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a tree and a disk in it, and the disk itself."""
    home = tmp_path_factory.mktemp("nbd")
    (home / "tree").mkdir()
    nastytree.build(home / "tree")
    (home / "disk").write_bytes(noise(5 << 20, 1) + bytes(9 << 20) + noise(DISK - (14 << 20), 2))
    store = ImageStore.open(home / "store")
    import_directory(store, "tree", home / "tree", excludes=())
    import_disk(store, "disk", home / "disk")
    return home


@pytest.fixture
def house(home: Path, tmp_path: Path) -> Iterator[House]:
    with serving(home / "store", tmp_path / "nbd") as house:
        yield house


def test_nbdinfo_sees_what_it_is(house: House) -> None:
    said = json.loads(run("nbdinfo", "--json", house.uri("tree@1")))["exports"][0]
    assert said["is_read_only"] and said["can_multi_conn"] and "EROFS" in said["content"]
    assert said["export-size"] % 4096 == 0 and said["block_size_minimum"] == 1
    writable = json.loads(run("nbdinfo", "--json", house.uri("disk@1/keep")))["exports"][0]
    assert writable["export-size"] == DISK and not writable["is_read_only"] and writable["can_flush"]
    holes = json.loads(run("nbdinfo", "--json", "--map", house.uri("disk@1")))
    assert sum(row["length"] for row in holes if row["description"] == "hole,zero") == 9 << 20


def test_nbdcopy_gets_the_disk(house: House, home: Path, tmp_path: Path) -> None:
    for options in ((), ("--synchronous",), ("--connections=4", "--request-size=4096")):
        run("nbdcopy", *options, house.uri("disk@1"), tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == (home / "disk").read_bytes()


def test_qemu_reads_and_writes(house: House, home: Path, tmp_path: Path) -> None:
    both = home / "disk", house.uri("disk@1")
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", *both)
    keep = house.uri("disk@1/keep")
    words = ["write -P 7 8192 65536", "write -z 1M 2M", "discard 6M 1M", "write -P 9 9M 512", "flush"]
    run("qemu-io", "-f", "raw", *(part for word in words for part in ("-c", word)), keep)
    wanted = bytearray((home / "disk").read_bytes())
    wanted[8192 : 8192 + 65536] = b"\x07" * 65536
    wanted[1 << 20 : 3 << 20] = bytes(2 << 20)
    wanted[6 << 20 : 7 << 20] = bytes(1 << 20)
    wanted[9 << 20 : (9 << 20) + 512] = b"\x09" * 512
    run("nbdcopy", keep, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == wanted
    run("nbdcopy", house.uri("disk@1"), tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == (home / "disk").read_bytes()


def test_a_tree_is_mounted_and_extracted(house: House, home: Path, tmp_path: Path) -> None:
    run("nbdcopy", house.uri("tree@1"), tmp_path / "image")
    run("fsck.erofs", tmp_path / "image")
    (tmp_path / "there").mkdir()
    run("mount", "-t", "erofs", "-o", "loop,ro", tmp_path / "image", tmp_path / "there")
    try:
        assert nastytree.snapshot(tmp_path / "there") == nastytree.snapshot(home / "tree")
    finally:
        run("umount", tmp_path / "there")


def test_who_may_not_is_told_so(house: House) -> None:
    with pytest.raises(PermissionError, match="not for you"):
        Peer(house.port, "secret@1")
    assert run("nbdinfo", house.uri("secret@1"), fine=False)
    assert run("nbdinfo", house.uri("nothing@1"), fine=False)
    assert [row[1] for row in house.said] == ["nbd.refused"] * 2  # asked again and again, written down once


def test_many_at_once_read_the_same(house: House, home: Path) -> None:
    wanted, chance = (home / "disk").read_bytes(), random.Random(5)
    peers = [Peer(house.port, "disk@1") for _ in range(64)]
    for _ in range(20):
        for peer in peers:
            offset = chance.randrange(DISK)
            length = min(chance.choice([1, 512, 4096, 200_000]), DISK - offset)
            assert peer.read(offset, length) == wanted[offset : offset + length]
    for peer in peers:
        peer.close()


def test_thousands_share_one_cache(house: House, home: Path) -> None:
    many_files()
    wanted, chance = (home / "disk").read_bytes(), random.Random(6)
    peers = [Peer(house.port, "disk@1") for _ in range(2000)]
    for peer in peers:
        offset = chance.randrange(DISK - 4096)
        assert peer.read(offset, 4096) == wanted[offset : offset + 4096]
    assert memory(house) < 100 << 20
    for peer in peers:
        peer.close()


def test_a_client_that_asks_and_never_reads_costs_nothing(house: House, home: Path) -> None:
    peer, good = Peer(house.port, "disk@1"), Peer(house.port, "disk@1")
    good.read(0, DISK)
    before = memory(house)
    peer.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            peer.sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 7, 0, DISK) * 100)
    assert good.read(100, 100) == (home / "disk").read_bytes()[100:200]
    assert memory(house) - before < 8 << 20


def test_answers_to_a_slow_reader_keep_their_order(house: House, home: Path) -> None:
    """Answers of all sizes, more than the socket takes at once: some go at once, some wait."""
    wanted, chance = (home / "disk").read_bytes(), random.Random(8)
    peer = Peer(house.port, "disk@1")
    for _ in range(3):
        asked = []
        for cookie in range(300):
            length = chance.choice([512, 4096, 65_536, 131_072, 262_144, 300_000])
            asked.append((cookie, chance.randrange(DISK - length), length))
        for cookie, offset, length in asked:
            peer.sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, cookie, offset, length))
        answered = dict.fromkeys(range(300))
        while answered:
            magic, error, cookie = struct.unpack(">IIQ", peer.take(16))
            assert (magic, error) == (0x67446698, 0)
            _, offset, length = asked[cookie]
            assert peer.take(length) == wanted[offset : offset + length]
            del answered[cookie]


def memory(house: House) -> int:
    text = Path(f"/proc/{house.process.pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) << 10


def test_it_ends_well_and_comes_back(house: House, home: Path, tmp_path: Path) -> None:
    """A client that connects anew goes on; what was acknowledged is there although the server was killed."""
    peer = Peer(house.port, "disk@1/keep")
    peer.write(0, b"a" * 4096)
    house.stop(signal.SIGKILL)
    with pytest.raises(OSError):
        peer.read(0, 4096)
    second = House(home / "store", tmp_path / "nbd", house.port)
    peer = Peer(second.port, "disk@1/keep")
    assert peer.read(0, 8192) == b"a" * 4096 + (home / "disk").read_bytes()[4096:8192]
    assert second.stop() == 0
    assert second.said[-1][1] == "nbd.closed"


def test_the_newer_connection_gets_the_layer(house: House) -> None:
    """A machine that was switched off and on is back before its old connection is known to be dead."""
    old = Peer(house.port, "tree@1/keep")
    old.write(0, b"x" * 512)
    new = Peer(house.port, "tree@1/keep")
    assert new.read(0, 1024) == b"x" * 512 + bytes(512)
    with pytest.raises(OSError):
        old.write(0, b"y" * 512)
        old.read(0, 512)


def test_a_full_layer_says_so_and_lives(home: Path, tmp_path: Path) -> None:
    with serving(home / "store", tmp_path / "nbd", LIMIT=str(1 << 20)) as house:
        peer = Peer(house.port, "disk@1/keep")
        peer.write(0, b"a" * (768 << 10))
        with pytest.raises(OSError) as full:
            peer.write(4 << 20, b"b" * (512 << 10))
        assert full.value.errno == 28
        peer.write(4096, b"c" * 4096)  # what it has may be changed
        peer.ask(4, 0, 512 << 10)  # TRIM makes room
        peer.write(4 << 20, b"b" * (512 << 10))
        assert peer.read(4 << 20, 512) == b"b" * 512
        assert [row[1] for row in house.said].count("alarm.writes") == 1


def test_a_damaged_chunk_is_an_error_and_an_alarm(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "store", tmp_path / "store")
    locator = ImageStore.open(tmp_path / "store").source("disk@1").locator
    frame = locator.frame(locator.place(0).frame)
    with (tmp_path / "store/packs" / f"{frame.pack}.pack").open("r+b") as pack:
        pack.seek(frame.offset + frame.stored // 2)
        byte = pack.read(1)
        pack.seek(-1, os.SEEK_CUR)
        pack.write(bytes([byte[0] ^ 4]))
    wanted, bad = (home / "disk").read_bytes(), 0
    with serving(tmp_path / "store", tmp_path / "nbd") as house:
        peer = Peer(house.port, "disk@1")
        for offset in range(0, DISK, 65_536):
            try:
                assert peer.read(offset, 65_536) == wanted[offset : offset + 65_536]
            except OSError as error:
                assert error.errno == 5
                bad += 1
        assert 0 < bad < 16
        assert "Input/output error" in run("nbdcopy", house.uri("disk@1"), tmp_path / "got", fine=False)
        alarms = [row for row in house.said if row[1] == "alarm.image"]
        assert len(alarms) == 1 and "run `bootsrv image verify --repair`" in alarms[0][2]


def test_storm_of_writes_survives_kills(home: Path, tmp_path: Path) -> None:
    """Killed at any moment: what was flushed is there, what was acknowledged as well (the machine lives)."""
    chance, wanted = random.Random(3), bytearray((home / "disk").read_bytes())
    for _ in range(3):
        with serving(home / "store", tmp_path / "nbd") as house:
            peer = Peer(house.port, "disk@1/keep")
            killer = threading.Timer(chance.uniform(0.05, 0.3), house.process.kill)
            killer.start()
            try:
                while True:
                    offset = chance.randrange(DISK // 512 - 64) * 512
                    data = chance.randbytes(512 * chance.randrange(1, 64))
                    pending = (offset, data)
                    peer.write(offset, data)
                    wanted[offset : offset + len(data)] = data
                    if chance.random() < 0.05:
                        peer.flush()
            except OSError:
                killer.join()
        with serving(home / "store", tmp_path / "nbd") as house:
            peer = Peer(house.port, "disk@1/keep")
            got = peer.read(0, DISK // 2) + peer.read(DISK // 2, DISK // 2)
            offset, data = pending  # under way when it was killed: each sector is the old or the new one
            for at in range(0, len(data), 512):
                place = slice(offset + at, offset + at + 512)
                assert got[place] in (bytes(wanted[place]), data[at : at + 512])
                wanted[place] = got[place]
            assert got == bytes(wanted)


def test_nbd_server_clients_reconnect_within_a_second(house: House, home: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    house.stop()
    second = House(home / "store", tmp_path / "nbd", house.port)
    assert Peer(second.port, "disk@1").read(0, 10) == (home / "disk").read_bytes()[:10]
    assert time.monotonic() - started < 10
    second.stop()


