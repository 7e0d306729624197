"""Archives as the house has them: who may ask, entries of indexes, signing, what doctor says."""

from __future__ import annotations

import json
import socket
import subprocess
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv import packagecheck
from bootsrv.config import Config, parse
from bootsrv.errors import BootsrvError, ConfigError, Conflict, Invalid, NotFound
from bootsrv.mirrors.local import RECORD, LocalMirror, LocalMirrors
from bootsrv.mirrors.stanzas import parse as parse_stanzas
from bootsrv.mirrors.view import HouseMirrors
from bootsrv.signing import ArchiveKey
from bootsrv.trees.index import Index, Item
from pxe.catalogue import Entry
from pxe.http.ports import Denied
from pxe.mirror.cache import Cache, Cached
from pxe.trees.kernel import version

SHA = "a" * 64


def config_of(tmp_path: Path, **more: object) -> Config:
    table = {
        "data_dir": str(tmp_path / "data"),
        "subnets": [{"cidr": "10.77.0.0/24"}],
        "mirrors": {"debian": {"upstream": "http://archive.invalid/debian"}},
    }
    return parse({**table, **more}, tmp_path / "bootsrv.toml")


def filled(config: Config, name: str) -> None:
    """An archive of our own with one file."""
    home = config.mirrors_dir / name
    (home / "files/pool").mkdir(parents=True)
    (home / "files/pool/a.deb").write_bytes(b"deb")
    Index({"pool/a.deb": Item(3, SHA)}, {"stable": "pool"}).save(home / "index.tsv")
    record = {"name": name, "suite": "bookworm", "arch": "amd64", "packages": [], "filled": 1.0}
    record |= {"files": 1, "bytes": 3}
    (home / RECORD).write_text(json.dumps(record))


class TestConfiguration:
    def test_several_addresses(self, tmp_path: Path) -> None:
        urls = ["http://one/debian", "https://two:8443/debian/"]
        config = config_of(tmp_path, mirrors={"d": {"upstream": urls}}, cache={"size": "2G"})
        assert config.mirrors["d"].upstreams == tuple(urls)
        assert config.cache.bytes == 2 << 30

    @pytest.mark.parametrize(
        ("more", "key"),
        [
            ({"mirrors": {"d": {"upstream": "ftp://x/debian"}}}, "mirrors.d.upstream"),
            ({"mirrors": {"d": {"upstream": "http:///debian"}}}, "mirrors.d.upstream"),
            ({"mirrors": {"d": {"upstream": "http://x/a?b=c"}}}, "mirrors.d.upstream"),
            ({"mirrors": {"d": {"upstream": "http://x:99999/"}}}, "mirrors.d.upstream"),
            ({"mirrors": {"d": {"upstream": []}}}, "mirrors.d.upstream"),
            ({"mirrors": {"d": {"upstream": "http://x/", "proxy": "x:3128"}}}, "mirrors.d.proxy"),
            ({"mirrors": {"D/..": {"upstream": "http://x/"}}}, "mirrors.D/.."),
            ({"mirrors": {"d": {}}}, "mirrors"),
            ({"cache": {"size": "much"}}, "cache.size"),
            ({"cache": {"size": "50%"}}, "cache.size"),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, more: dict[str, object], key: str) -> None:
        with pytest.raises(ConfigError) as caught:
            config_of(tmp_path, **more)
        assert f"key {key}" in str(caught.value)


class TestWhoMayAsk:
    @pytest.fixture
    def view(self, tmp_path: Path) -> HouseMirrors:
        config = config_of(tmp_path)
        filled(config, "own")
        return HouseMirrors(config, lambda: [IPv4Interface("192.168.5.1/24")])

    @pytest.mark.parametrize("peer", ["10.77.0.9", "192.168.5.200", "127.0.0.1", "::1"])
    def test_our_own(self, view: HouseMirrors, peer: str) -> None:
        assert isinstance(view.find("own", "pool/a.deb", peer), Entry)
        assert view.find("debian", "pool/a.deb", peer) is None, "to be asked of the process that fetches"

    @pytest.mark.parametrize("peer", ["10.78.0.9", "192.0.2.1", "2001:db8::1"])
    def test_strangers(self, view: HouseMirrors, peer: str) -> None:
        for name in ("own", "debian"):
            answer = view.find(name, "pool/a.deb", peer)
            assert isinstance(answer, Denied)
            assert answer.status == 403

    def test_names(self, view: HouseMirrors) -> None:
        assert isinstance(view.find("own", "stable/a.deb", "127.0.0.1"), Entry)
        for name, path in (
            ("none", "pool/a.deb"),
            ("own", "pool/b.deb"),
            ("own", "../index.tsv"),
            ("..", "x"),
        ):
            answer = view.find(name, path, "127.0.0.1")
            assert isinstance(answer, Denied)
            assert answer.status == 404

    def test_what_is_cached_is_sent_from_here(self, tmp_path: Path) -> None:
        config = config_of(tmp_path)
        cache = Cache(config.cache_dir, 1 << 20, reserve=0)
        for path in ("pool/a.deb", "dists/x/InRelease"):
            part = cache.part()
            part.write_bytes(b"deb")
            cache.keep(part, Cached("debian", path, SHA, 3, stored=1.0, checked=1.0))
        view = HouseMirrors(config, list)
        found = view.find("debian", "pool/a.deb", "127.0.0.1")
        assert isinstance(found, Entry)
        assert found.size == 3
        assert view.find("debian", "dists/x/InRelease", "127.0.0.1") is None, "an index is asked after"
        assert (config.cache_dir / "CACHEDIR.TAG").exists(), "no backup needs it"


class TestLocal:
    def test_records(self, tmp_path: Path) -> None:
        config = config_of(tmp_path)
        shelf = LocalMirrors(config.mirrors_dir)
        assert shelf.names() == []
        filled(config, "own")
        assert shelf.get("own") == LocalMirror("own", "bookworm", "amd64", (), 1.0, 1, 3)
        with pytest.raises(NotFound):
            shelf.get("none")
        (config.mirrors_dir / "own" / RECORD).write_text("{")
        with pytest.raises(BootsrvError, match="fill it again"):
            shelf.get("own")

    def test_verbs_refuse_what_cannot_be(self, house) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(Invalid, match="mirror name"):
            house.mirrors.fill("../x", "bookworm", [])
        with pytest.raises(NotFound):
            house.mirrors.fill("x", "bookworm", [], tree="none")
        with pytest.raises(NotFound):
            house.mirrors.remove("none")
        with pytest.raises(Invalid, match="no key for 'sarge'"):
            house.mirrors.fill("x", "sarge", [])

    def test_cached_ones_are_the_configurations(self, tmp_path: Path, registry) -> None:  # type: ignore[no-untyped-def]
        from bootsrv.appliance.appliance import Appliance

        verbs = Appliance(config_of(tmp_path), registry).mirrors
        assert [one.name for one in verbs.listing()] == ["debian"]
        with pytest.raises(Conflict):
            verbs.fill("debian", "bookworm", [])
        with pytest.raises(Conflict):
            verbs.remove("debian")


class TestStanzas:
    TEXT = (
        "Package: ext4-modules-6.1.0-50-amd64-di\nVersion: 6.1.176-1\nPriority: standard\n"
        "Kernel-Version: 6.1.0-50-amd64\nFilename: pool/main/l/e.udeb\n"
        f"Size: 12\nSHA256: {SHA}\nDescription: ext4\n several\n lines\n"
    )

    def test_fields_and_text(self) -> None:
        one, two = parse_stanzas(
            f"{self.TEXT}\n\nPackage: none\n\n{self.TEXT.replace('standard', 'required')}"
        )
        assert (one.name, one.kernel, one.size, one.sha256) == (
            "ext4-modules-6.1.0-50-amd64-di", "6.1.0-50-amd64", 12, SHA,
        )  # fmt: skip
        assert one.text == self.TEXT.rstrip("\n")
        assert two.priority == "required"

    @given(st.text(max_size=300))
    def test_any_text(self, text: str) -> None:
        list(parse_stanzas(text))


@given(st.binary(max_size=0x400))
def test_any_bytes_are_some_kernel(head: bytes) -> None:
    version(head)
    version(head[:0x202].ljust(0x202, b"\0") + b"HdrS" + head)


def test_signatures_are_good(tmp_path: Path) -> None:
    key = ArchiveKey(tmp_path / "key")
    (tmp_path / "public").write_bytes(key.public())
    (tmp_path / "text").write_bytes(b"Origin: test\n")
    (tmp_path / "text.gpg").write_bytes(key.detached(b"Origin: test\n"))
    (tmp_path / "inline").write_bytes(key.inline(b"Origin: test\n"))
    check = ["gpgv", "--keyring", str(tmp_path / "public")]
    for words in (["text.gpg", "text"], ["inline"]):
        subprocess.run([*check, *words], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "text").write_bytes(b"Origin: evil\n")
    assert subprocess.run([*check, "text.gpg", "text"], cwd=tmp_path, capture_output=True).returncode != 0
    assert b"BEGIN PGP PUBLIC KEY" in key.public(ascii_=True)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o700


class TestDoctor:
    def test_an_archive_of_both_kinds(self, tmp_path: Path) -> None:
        config = config_of(tmp_path)
        filled(config, "debian")
        (found,) = packagecheck.archives_distinct(config)
        assert "never asked" in found.what

    def test_a_cache_larger_than_its_disk(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, cache={"size": "900T"})
        assert list(packagecheck.cache_fits(config)) == []
        config.cache_dir.mkdir(parents=True)
        assert [one.do for one in packagecheck.cache_fits(config)] == ["set [cache] size to less"]

    def test_a_server_that_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("http_proxy", raising=False)
        with socket.create_server(("127.0.0.1", 0)) as there:
            urls = [f"http://127.0.0.1:{there.getsockname()[1]}/debian", "http://127.0.0.1:1/debian"]
            config = config_of(tmp_path, mirrors={"d": {"upstream": urls}})
            (found,) = packagecheck.archives_answer(config)
        assert "127.0.0.1 port 1 cannot be reached" in found.what

    def test_a_tree_that_lost_its_kernel(self, tmp_path: Path) -> None:
        from bootsrv.trees.importing import import_tree
        from bootsrv.trees.shelf import Shelf

        config = config_of(tmp_path)
        root = tmp_path / "medium/debian-installer/amd64"
        root.mkdir(parents=True)
        for name in ("linux", "initrd.gz"):
            (root / name).write_text(name)
        shelf = Shelf(config.trees_dir)
        import_tree(shelf, str(tmp_path / "medium"), "d12")
        assert list(packagecheck.trees_whole(config)) == []
        (shelf.directory("d12") / "debian-installer/amd64/linux").unlink()
        (found,) = packagecheck.trees_whole(config)
        assert "d12 has lost debian-installer/amd64/linux" in found.what
