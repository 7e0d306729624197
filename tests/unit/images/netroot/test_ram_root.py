"""A root in memory over HTTP, damaged on its way; and made out of a store that is damaged."""

from __future__ import annotations

import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagestore import make, noise, publish

from images import signature
from images.agent.client import Client
from images.agent.netroot import blocks, ram
from images.erofs.writing import write_image
from images.errors import ChunkCorrupt
from images.exporting.to_squashfs import export_squashfs
from images.store import ImageStore

PRIVATE = bytes(range(32))
DATA = noise(2_500_000, 3)
LISTED = blocks.read(
    blocks.write(io.BytesIO(DATA), len(DATA), "a" * 64, PRIVATE, block=100_000),
    signature.public_key(PRIVATE),
    "a" * 64,
)


class Server(http.server.ThreadingHTTPServer):
    """Gives ranges of DATA; of the first `bad` answers that hold it, byte `at` is another one."""

    daemon_threads = True

    def __init__(self, at: int, bad: int) -> None:
        self.at, self.bad, self.asked = at, bad, list[str]()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["Range"])
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        data = bytearray(DATA[first : last + 1])
        if first <= self.server.at <= last and self.server.bad:
            self.server.bad -= 1
            data[self.server.at - first] ^= 1
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def fetched(server: Server, target: Path) -> int:
    client = Client(f"http://127.0.0.1:{server.server_port}", "token")
    return ram.fetch(client, "/store/roots/x.squashfs", LISTED, target, lambda *_: None)


@pytest.mark.parametrize("bad", [0, 1])
def test_a_block_that_came_damaged_is_asked_for_once_more(tmp_path: Path, bad: int) -> None:
    server = Server(at=1_234_567, bad=bad)
    assert fetched(server, tmp_path / "root") == len(DATA) + bad * 800_000, "with what came for nothing"
    assert (tmp_path / "root").read_bytes() == DATA
    assert len(server.asked) == 4 + bad and len(set(server.asked)) == 4


def test_one_that_stays_damaged_is_named_and_not_kept(tmp_path: Path) -> None:
    server = Server(at=1_234_567, bad=99)
    with pytest.raises(ChunkCorrupt, match="block 12 of the root"):
        fetched(server, tmp_path / "root")
    assert (tmp_path / "root").read_bytes() == DATA[:800_000]
    assert len(server.asked) == 3, "nothing behind it was asked for"


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[ImageStore]:
    """One bit in the middle of each pack."""
    store = make(tmp_path)
    publish(store, "debian", {f"f{n:02}": noise(90_000 + n, n) for n in range(30)})
    for pack in store.packs.iterdir():
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 4
        pack.chmod(0o600)
        pack.write_bytes(data)
    yield store


def test_no_root_is_made_of_a_damaged_chunk(damaged: ImageStore, tmp_path: Path) -> None:
    """Neither in memory nor for NFS: the error names the file, and nothing is left that could be served."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ChunkCorrupt, match=r"debian@1: /f\d+ is damaged in"):
        export_squashfs(damaged, "debian", tmp_path / "root.squashfs")
    with pytest.raises(ChunkCorrupt, match=r"debian@1: /f\d+ is damaged in"):
        write_image(damaged.manifest("debian"), damaged.source("debian"), tmp_path / "root.erofs")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
