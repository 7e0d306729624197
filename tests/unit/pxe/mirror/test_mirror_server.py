"""The cache in front of an archive that misbehaves: fetched once, never wrong, never half, never an error
kept."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import random
import subprocess
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mirror_house import Running, Upstream

from pxe.mirror.cache import Cache, Lookup
from pxe.mirror.flight import Archive

DEB = random.Random(1).randbytes(1_000_003)
NAME = "pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb"
RELEASE = "dists/bookworm/InRelease"
INDEX = "dists/bookworm/main/binary-amd64/Packages.gz"
CUT = (http.client.IncompleteRead, ConnectionError, urllib.error.URLError)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    made.files = {NAME: DEB, RELEASE: b"first"}
    yield made
    made.close()


@pytest.fixture
def mirror(tmp_path: Path, upstream: Upstream) -> Iterator[Running]:
    made = Running(tmp_path / "cache", upstream.url)
    yield made
    made.close()


def index_of(mirror: Running, upstream: Upstream) -> None:
    """An index that names the package is in the cache."""
    text = f"Package: bash\nFilename: {NAME}\nSize: {len(DEB)}\nSHA256: {hashlib.sha256(DEB).hexdigest()}\n\n"
    upstream.files[INDEX] = gzip.compress(text.encode())
    assert mirror.get(INDEX)[0] == 200


def left(mirror: Running) -> list[Path]:
    return list((mirror.root / "parts").iterdir())


class TestPackages:
    def test_fetched_once_and_whole(self, mirror: Running, upstream: Upstream) -> None:
        for _ in range(3):
            status, body, headers = mirror.get(NAME)
            assert (status, body) == (200, DEB)
            assert headers["Content-Length"] == str(len(DEB))
        assert upstream.asked[NAME] == 1
        assert left(mirror) == []
        assert upstream.seen[0]["User-Agent"] == "bootsrv"
        assert "bootsrv" in upstream.seen[0]["Via"]

    def test_fifty_at_once_fetch_once(self, mirror: Running, upstream: Upstream) -> None:
        upstream.pause = 0.02
        with ThreadPoolExecutor(50) as pool:
            got = list(pool.map(lambda _: mirror.get(NAME)[1], range(50)))
        assert all(body == DEB for body in got)
        assert upstream.asked[NAME] == 1

    def test_bytes_are_passed_on_while_they_come(self, mirror: Running, upstream: Upstream) -> None:
        upstream.gate = threading.Event()
        connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=20)
        connection.request("GET", f"/mirror/debian/{NAME}")
        answer = connection.getresponse()
        assert answer.read(150_000) == DEB[:150_000]
        assert left(mirror), "the rest has not been sent yet"
        upstream.gate.set()
        assert answer.read() == DEB[150_000:]
        connection.close()

    def test_who_leaves_early_spoils_nothing(self, mirror: Running, upstream: Upstream) -> None:
        upstream.pause = 0.02
        connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=20)
        connection.request("GET", f"/mirror/debian/{NAME}")
        connection.getresponse().read(1000)
        connection.close()
        assert mirror.get(NAME)[1] == DEB
        assert upstream.asked[NAME] == 1

    def test_parts_before_and_after_it_is_there(self, mirror: Running, upstream: Upstream) -> None:
        upstream.pause = 0.01
        for _ in range(2):
            status, body, headers = mirror.get(NAME, Range="bytes=500000-600000")
            assert (status, body) == (206, DEB[500_000:600_001])
            assert headers["Content-Range"] == f"bytes 500000-600000/{len(DEB)}"
        assert mirror.get(NAME, Range=f"bytes={len(DEB)}-")[0] == 416
        assert upstream.asked[NAME] == 1

    def test_head(self, mirror: Running) -> None:
        for _ in range(2):
            status, body, headers = mirror.get(NAME, method="HEAD")
            assert (status, body, headers["Content-Length"]) == (200, b"", str(len(DEB)))

    def test_without_a_length(self, mirror: Running, upstream: Upstream) -> None:
        upstream.chunked = True
        assert [mirror.get(NAME)[1] for _ in range(2)] == [DEB, DEB]
        assert upstream.asked[NAME] == 1


class TestBrokenTransfers:
    def test_one_that_breaks_off_goes_on(self, mirror: Running, upstream: Upstream) -> None:
        upstream.cut[NAME] = [300_000, 200_000]
        assert mirror.get(NAME)[1] == DEB
        assert upstream.ranges == ["bytes=300000-", "bytes=500000-"]

    def test_one_that_never_ends_well_is_never_whole(self, mirror: Running, upstream: Upstream) -> None:
        upstream.cut[NAME] = [300_000, 1, 1, 1]
        with pytest.raises(CUT):
            mirror.get(NAME)
        assert mirror.cache.get("debian", NAME) is None
        assert left(mirror) == []
        assert mirror.get(NAME)[1] == DEB  # it is asked for anew

    def test_another_file_is_not_glued_on(self, mirror: Running, upstream: Upstream) -> None:
        upstream.cut[NAME] = [300_000]
        upstream.after_cut = lambda: upstream.files.update({NAME: DEB[::-1]})
        with pytest.raises(CUT):
            mirror.get(NAME)
        assert mirror.cache.get("debian", NAME) is None

    def test_a_length_that_is_a_lie(self, mirror: Running, upstream: Upstream) -> None:
        upstream.length[NAME] = len(DEB) + 10
        with pytest.raises(CUT):
            mirror.get(NAME)
        upstream.length[NAME] = len(DEB) - 10  # HTTP ends it there: only the index can tell
        index_of(mirror, upstream)
        assert mirror.get(NAME)[0] == 502
        assert any(f"index says {len(DEB)}" in text for text in mirror.troubles)
        del upstream.length[NAME]
        assert mirror.get(NAME)[1] == DEB

    def test_wrong_bytes_are_never_whole(self, mirror: Running, upstream: Upstream) -> None:
        index_of(mirror, upstream)
        upstream.files[NAME] = DEB[:-1] + bytes([DEB[-1] ^ 1])
        with pytest.raises(CUT) as caught:
            mirror.get(NAME)
        if isinstance(caught.value, http.client.IncompleteRead):
            assert len(caught.value.partial) < len(DEB)
        assert mirror.cache.get("debian", NAME) is None
        upstream.files[NAME] = DEB
        assert mirror.get(NAME)[1] == DEB

    def test_the_name_tells_the_hash(self, mirror: Running, upstream: Upstream) -> None:
        good = f"dists/bookworm/main/binary-amd64/by-hash/SHA256/{hashlib.sha256(DEB).hexdigest()}"
        bad = f"repodata/{'a' * 64}-primary.xml.gz"
        upstream.files.update({good: DEB, bad: DEB})
        assert mirror.get(good)[1] == DEB
        with pytest.raises(CUT):
            mirror.get(bad)

    def test_the_server_ends_in_the_middle(self, tmp_path: Path, upstream: Upstream) -> None:
        upstream.pause = 0.1
        made = Running(tmp_path / "cache", upstream.url)
        connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=20)
        connection.request("GET", f"/mirror/debian/{NAME}")
        answer = connection.getresponse()
        answer.read(1000)
        made.close()
        with pytest.raises(CUT):
            answer.read()
        upstream.pause = 0.0
        again = Running(tmp_path / "cache", upstream.url)
        assert left(again) == []
        assert again.get(NAME)[1] == DEB
        again.close()


class TestIndexes:
    def test_asked_after_again_and_replaced(self, mirror: Running, upstream: Upstream) -> None:
        assert mirror.get(RELEASE)[1] == b"first"
        mirror.now += 60
        assert mirror.get(RELEASE)[1] == b"first"
        assert (upstream.asked[RELEASE], upstream.sent[RELEASE]) == (2, 1)
        upstream.files[RELEASE] = b"second"
        mirror.now += 60
        assert mirror.get(RELEASE)[1] == b"second"
        assert mirror.cache.room.entries == 1
        assert len(list((mirror.root / "objects").glob("*/*"))) == 1

    def test_a_rack_asks_once(self, mirror: Running, upstream: Upstream) -> None:
        mirror.get(RELEASE)
        mirror.now += 60
        with ThreadPoolExecutor(30) as pool:
            assert {body for _, body, _ in pool.map(lambda _: mirror.get(RELEASE), range(30))} == {b"first"}
        assert upstream.asked[RELEASE] == 2

    def test_a_client_that_has_it_is_told_so(self, mirror: Running) -> None:
        _, _, headers = mirror.get(RELEASE)
        assert mirror.get(RELEASE, If_Modified_Since=headers["Last-Modified"])[0] == 304

    @pytest.mark.parametrize("status", [500, 503, 403])
    def test_old_rather_than_nothing(self, mirror: Running, upstream: Upstream, status: int) -> None:
        assert mirror.get(RELEASE)[1] == b"first"
        mirror.now += 60
        upstream.status = status
        got, body, headers = mirror.get(RELEASE)
        assert (got, body) == (200, b"first")
        assert "Stale" in headers["Warning"]
        assert mirror.troubles
        got, body, _ = mirror.get("dists/bookworm/Release")
        assert got == 502
        assert b"could not be asked" in body

    def test_nobody_there(self, mirror: Running) -> None:
        mirror.get(RELEASE)
        mirror.now += 60
        mirror.archives["debian"] = Archive("debian", ("http://127.0.0.1:1/closed",))
        assert mirror.get(RELEASE)[1] == b"first"
        assert mirror.get(NAME)[0] == 502

    def test_an_error_is_never_kept(self, mirror: Running, upstream: Upstream) -> None:
        upstream.status = 503
        assert mirror.get(NAME)[0] == 502
        upstream.status = 0
        assert mirror.get(NAME)[1] == DEB
        assert mirror.get("pool/none.deb")[0] == 404
        upstream.files["pool/none.deb"] = b"there now"
        assert mirror.get("pool/none.deb")[1] == b"there now"

    def test_gone_is_gone(self, mirror: Running, upstream: Upstream) -> None:
        mirror.get(RELEASE)
        del upstream.files[RELEASE]
        mirror.now += 60
        assert mirror.get(RELEASE)[0] == 404


class TestSeveralServers:
    def test_the_next_is_asked(self, tmp_path: Path, upstream: Upstream) -> None:
        other = Upstream()
        other.status = 500
        made = Running(tmp_path / "cache", "http://127.0.0.1:1/closed", other.url, upstream.url)
        assert made.get(NAME)[1] == DEB
        assert made.get("pool/none.deb")[0] == 502, "two of three could not say that it is not there"
        made.close()
        other.close()

    def test_a_proxy_of_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = Upstream()
        proxy.files["http://archive.invalid/debian/pool/a.deb"] = b"by proxy"
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/archive"))
        made = Running(tmp_path / "cache", "http://archive.invalid/debian")
        assert made.get("pool/a.deb")[1] == b"by proxy"
        made.close()
        proxy.close()


class TestRoom:
    def test_the_longest_unused_goes_first(self, tmp_path: Path, upstream: Upstream) -> None:
        upstream.files = {f"pool/{i}.deb": random.Random(i).randbytes(100_000) for i in range(6)}
        made = Running(tmp_path / "cache", upstream.url, limit=350_000)
        for i in range(3):
            made.get(f"pool/{i}.deb")
            entry = next(one for one in made.cache.entries() if one.path == f"pool/{i}.deb")
            os.utime(tmp_path / f"cache/entries/{entry.key}.json", (i, i))
        made.get("pool/0.deb")  # used again
        for i in range(3, 5):
            made.get(f"pool/{i}.deb")
        assert {one.path for one in made.cache.entries()} == {"pool/0.deb", "pool/3.deb", "pool/4.deb"}
        assert made.cache.room.used == 300_000
        assert sum(p.stat().st_size for p in (tmp_path / "cache/objects").glob("*/*")) == 300_000
        made.close()
        assert Cache(tmp_path / "cache", 350_000, reserve=0).room == made.cache.room

    def test_a_disk_that_others_fill(self, tmp_path: Path) -> None:
        free = [500]
        cache = Cache(tmp_path / "cache", 10_000, reserve=1000, free=lambda root: free[0])
        assert not cache.fits(10)
        free[0] = 5000
        assert cache.fits(4000)
        assert not cache.fits(4001)

    def test_too_large_is_passed_on(self, tmp_path: Path, upstream: Upstream) -> None:
        made = Running(tmp_path / "cache", upstream.url, limit=10_000)
        for _ in range(2):
            assert made.get(NAME)[1] == DEB
        assert made.get(NAME, Range="bytes=10-19")[0] in (200, 206)
        assert made.cache.room.entries == 0
        assert any("no room" in text for text in made.troubles)
        assert made.get(RELEASE)[1] == b"first"
        made.close()

    def test_a_disk_that_is_full(self, tmp_path: Path, upstream: Upstream) -> None:
        """A real full disk, which the free space did not show in time."""
        small = tmp_path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(small)], check=True)
        try:
            made = Running(small / "cache", upstream.url, free=lambda root: 1 << 40)
            with pytest.raises(CUT):
                made.get(NAME)
            assert left(made) == []
            assert made.get(RELEASE)[1] == b"first"
            made.close()
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_the_same_bytes_are_there_once(self, mirror: Running, upstream: Upstream) -> None:
        upstream.files["pool/other.deb"] = DEB
        mirror.get(NAME)
        mirror.get("pool/other.deb")
        assert mirror.cache.room.used == len(DEB)
        found = mirror.cache.get("debian", NAME)
        assert found is not None
        mirror.cache.drop(found)
        assert mirror.get("pool/other.deb")[1] == DEB
        assert Lookup(mirror.root).get("debian", NAME) is None


NONE = ["../secret", "%2e%2e/secret", "a/../../b", "a//b", "", "a%00b", "a%5cb", "a/./b", "x" * 2000, "a%0ab"]


class TestWhoMayAskWhat:
    @pytest.mark.parametrize("path", NONE)
    def test_names_that_are_none(self, mirror: Running, upstream: Upstream, path: str) -> None:
        assert mirror.get(path)[0] == 404
        assert not upstream.asked

    def test_only_archives_that_are_named(self, mirror: Running, upstream: Upstream) -> None:
        mirror.url = mirror.url.replace("/debian", "/other")
        assert mirror.get(NAME)[0] == 404
        assert not upstream.asked

    def test_only_reading(self, mirror: Running, upstream: Upstream) -> None:
        assert mirror.get(NAME, method="POST")[0] == 405
        assert mirror.get(NAME, method="DELETE")[0] == 405
        assert not upstream.asked

    def test_an_archive_that_is_ourselves(self, mirror: Running) -> None:
        mirror.archives["debian"] = Archive("debian", (mirror.url,))
        assert mirror.get(NAME)[0] == 502
        assert any("508" in text for text in mirror.troubles)
