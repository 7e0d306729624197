"""One contract for every place that chunks come from: the store itself, a copy of it, ranges over HTTP."""

from __future__ import annotations

import http.server
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imagestore import make, noise, publish

from images import packstream
from images.errors import ChunkCorrupt, ChunkMissing, ImageError
from images.fetch import PackSource
from images.locator import Locator
from images.store import ImageStore

OLD = {f"f{number}": noise(40_000 + number, number) for number in range(12)} | {"text": b"text " * 30_000}
FILES = {
    path: b"".join(data[at : at + 9_000] + b"an edit" for at in range(0, len(data), 9_000))
    for path, data in OLD.items()
} | {"f1": OLD["f1"]}


@pytest.fixture(params=["a first version", "patches of an older one"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    monkeypatch.setattr(packstream, "PACK", 150_000)
    made = make(tmp_path)
    if request.param != "a first version":
        publish(made, "a", OLD)
    publish(made, "a", FILES)
    assert made.source("a").locator.patched == (request.param != "a first version")
    return made


class Ranges(http.server.BaseHTTPRequestHandler):
    """Serves packs by ranges, as the appliance and any plain web server do."""

    folder: Path

    def do_GET(self) -> None:
        path = self.folder / f"{self.path.rpartition('/')[2]}.pack"
        if not path.exists():
            self.send_error(404)
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        data = path.read_bytes()[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    running: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        handler = type("Handler", (Ranges,), {"folder": folder})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


Backend = tuple[PackSource, Path]


@pytest.fixture(params=["files", "copy", "http"])
def backend(
    request: pytest.FixtureRequest, store: ImageStore, tmp_path: Path, serve: Callable[[Path], str]
) -> Backend:
    """A source of the version's chunks, and the folder of packs behind it."""
    if request.param == "files":
        return store.source("a"), store.packs
    if request.param == "copy":  # plain files are all there is to it: no index, no writers' folders
        mirror = tmp_path / "mirror"
        for name in ("packs", "manifests", "locators", "names"):
            shutil.copytree(store.root / name, mirror / name)
        for name in ("format.json", "store.pub"):
            shutil.copy(store.root / name, mirror / name)
        other = ImageStore.open(mirror, create=False)
        return other.source("a"), other.packs
    base = serve(store.packs)

    def get(pack: str, start: int, length: int) -> bytes:
        header = {"Range": f"bytes={start}-{start + length - 1}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{base}/{pack}", headers=header)) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise ChunkMissing(f"pack {pack} is missing: {error}") from error

    return PackSource(Locator.parse(store.locator(store.resolve("a").id)), get), store.packs


def wanted(store: ImageStore) -> list[bytes]:
    return [chunk.id for chunk in store.manifest("a").chunks()]


def test_all_of_it_in_order(backend: Backend, store: ImageStore) -> None:
    source, _ = backend
    assert b"".join(source.stream(wanted(store))) == b"".join(FILES[name] for name in sorted(FILES))


def test_any_part_in_any_order(backend: Backend, store: ImageStore) -> None:
    source, _ = backend
    ids = wanted(store)[::-3]
    twice = list(source.stream([*ids, *ids]))
    assert twice[: len(ids)] == twice[len(ids) :] and source.get(ids[0]) == twice[0]
    assert not list(source.stream([]))


def test_what_it_does_not_have(backend: Backend, store: ImageStore) -> None:
    with pytest.raises(ChunkMissing):
        backend[0].get(b"x" * 32)
    for path in backend[1].iterdir():
        path.unlink()
    with pytest.raises(ChunkMissing):
        backend[0].get(wanted(store)[0])


def test_damage_never_gets_through(backend: Backend, store: ImageStore) -> None:
    source, packs = backend
    for path in packs.iterdir():
        data = bytearray(path.read_bytes())
        for place in range(30, len(data) - 5000, 997):
            data[place] ^= 4
        path.write_bytes(data)
    with pytest.raises(ChunkCorrupt, match=r"a@[12]: /.* is damaged in|chunk"):
        list(source.stream(wanted(store)))


def test_cut_off_packs(backend: Backend, store: ImageStore) -> None:
    source, packs = backend
    for path in packs.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ImageError):
        list(source.stream(wanted(store)))


def test_two_readers_at_once(backend: Backend, store: ImageStore) -> None:
    source, _ = backend
    one, other = source.stream(wanted(store)), source.stream(wanted(store)[::-1])
    assert [data for pair in zip(one, other, strict=True) for data in pair]
