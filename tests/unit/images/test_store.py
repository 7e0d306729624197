"""The store as its users see it: versions, tags, removal, room given back, who may read what."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from imagestore import contents, make, noise, publish

from images import packstream
from images.errors import BadInput, ImageConflict, ImageError, ImageNotFound, SignatureInvalid
from images.store import ImageStore

FILES = {"a": b"one", "b": noise(300_000, 1), "c": bytes(100_000), "empty": b""}


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "debian", FILES, "first")
    assert contents(store, "debian") == FILES
    assert (version.ref, version.comment, version.tags) == ("debian@1", "first", ("latest",))
    assert version.files == 5 and version.bytes == 400_003
    assert 300_000 < version.stored_bytes < 310_000
    assert ImageStore.open(store.root, create=False).versions() == [version]


def test_few_chunks_of_many_are_found_as_all_are(tmp_path: Path) -> None:
    store = make(tmp_path)
    many = {f"f{number}": noise(100, number) for number in range(200)}
    publish(store, "many", many)
    few = {"a": noise(100, 3), "b": noise(100, 199)}
    publish(store, "few", few)
    assert contents(store, "many") == many and contents(store, "few") == few
    index = store.open_index()
    ids = sorted(index.ids(1000) or ())
    assert [spot[0] for spot in index.spots(ids)] == ids
    assert list(index.spots(ids[5:7])) == list(index.spots(ids))[5:7]
    assert [spot[0] for spot in index.spots(sorted([bytes(32), ids[9], b"\xff" * 32]))] == [ids[9]]
    index.close()


def test_references_and_tags(tmp_path: Path) -> None:
    store = make(tmp_path)
    first, second = publish(store, "a", {"x": b"1"}), publish(store, "a", {"x": b"2"})
    assert second.parent == first.id
    assert store.resolve("a") == store.resolve("a@2") == store.resolve("a@latest") == second
    assert store.tag("a@1", "stable").tags == ("stable",)
    assert store.resolve("a@stable").number == 1
    assert store.tag("a", "stable").tags == ("latest", "stable")
    assert store.resolve("a@1").tags == ()
    store.untag("a", "stable")
    for ref in ("a@stable", "a@3", "b", "a@0"):
        with pytest.raises(ImageNotFound):
            store.resolve(ref)
    for ref in ("a@²", "a@" + "9" * 5000, "A", "../a", "a@B C", "a@", "", "a@../x"):
        with pytest.raises(BadInput):
            store.resolve(ref)
    for tag in ("latest", "7", "Up"):
        with pytest.raises(BadInput):
            store.tag("a", tag)
    with pytest.raises(ImageNotFound):
        store.untag("a", "stable")
    with pytest.raises(ImageNotFound):
        store.versions("b")


def test_remove_and_gc(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    publish(store, "a", {"b": FILES["b"]})
    store.tag("a@1", "keep")
    with pytest.raises(ImageConflict):
        store.remove("a@1")
    store.untag("a", "keep")
    with pytest.raises(BadInput, match="say which"):
        store.remove("a")
    store.remove("a@1")
    assert store.gc(grace=0).deleted == 0, "most of the pack is still used"
    assert contents(store, "a") == {"b": FILES["b"]}
    store.remove("a@2")
    report = store.gc(grace=0)
    assert report.deleted == 1 and report.freed > 300_000
    assert not list(store.packs.iterdir()) and not list(store.manifests.iterdir())
    assert publish(store, "a", FILES).number == 3, "a number is given once"


def test_gc_waits_out_its_grace(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    store.remove("a")
    report = store.gc(grace=100)
    assert (report.condemned, report.deleted) == (1, 0) and list(store.packs.iterdir())
    assert store.gc(grace=100).condemned == 0
    assert store.gc(grace=0).deleted == 1


def test_gc_rewrites_thin_packs(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", {"big": noise(2_000_000, 2), "small": noise(50_000, 3)})
    publish(store, "b", {"small": noise(50_000, 3)})
    store.remove("a")
    old = set(store.packs.iterdir())
    report = store.gc(grace=0)
    assert (report.condemned, report.rewritten, report.deleted) == (1, 1, 1)
    assert old.isdisjoint(store.packs.iterdir())
    assert sum(path.stat().st_size for path in store.packs.iterdir()) < 60_000
    assert contents(store, "b") == {"small": noise(50_000, 3)}
    assert not list(store.verify())


def test_a_gc_that_was_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", {"kept": noise(60_000, 1), "gone": noise(200_000, 2)})
    publish(store, "a", {"kept": noise(60_000, 1)})
    store.remove("a@1")
    locator = store.locators / store.resolve("a").id
    before = locator.read_bytes()
    store.gc(grace=3600)
    assert locator.read_bytes() != before, "it points to the copy"
    locator.write_bytes(before)  # as if it had been killed between marking the pack and writing this
    store.gc(grace=0)
    assert len(list(store.packs.iterdir())) == 1
    assert contents(store, "a") == {"kept": noise(60_000, 1)} and not list(store.verify())


def test_gc_beside_a_writer(tmp_path: Path) -> None:
    """A session counts on a chunk it saw; gc in between must not take it away."""
    store = make(tmp_path)
    publish(store, "a", {"x": noise(100_000, 4)})
    with store.writer() as writer:
        from images.manifest import Entry

        chunk = writer.put(noise(60_000, 5))
        chunks = writer.put_stream(__import__("io").BytesIO(noise(100_000, 4)).read)
        writer.tree.add(Entry(b"x", "file", size=100_000, chunks=chunks))
        writer.tree.add(Entry(b"y", "file", size=60_000, chunks=(chunk,)))
        store.remove("a")
        assert store.gc(grace=0).deleted == 0
        writer.publish("b")
    assert contents(store, "b") == {"x": noise(100_000, 4), "y": noise(60_000, 5)}
    assert store.gc(grace=0).deleted == 0
    assert contents(store, "b")["x"] == noise(100_000, 4)
    assert not list(store.verify())


def test_many_who_open_a_new_index_at_once(tmp_path: Path) -> None:
    """SQLite refuses, without waiting, one of two that turn a new file to write-ahead logging."""
    store = make(tmp_path)
    for _ in range(15):
        (store.root / "index.db").unlink(missing_ok=True)
        barrier, errors = threading.Barrier(4), []

        def work(barrier: threading.Barrier, errors: list[BaseException]) -> None:
            barrier.wait()
            try:
                store.open_index().close()
            except BaseException as err:
                errors.append(err)

        threads = [threading.Thread(target=work, args=(barrier, errors)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors


def test_two_writers_at_once(tmp_path: Path) -> None:
    store = make(tmp_path)
    shared = {f"f{number}": noise(70_000, number) for number in range(20)}
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for _ in range(3):
                publish(ImageStore.open(store.root), name, {**shared, name: name.encode()})
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "a")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [version.ref for version in store.versions()] == [f"a@{n}" for n in range(1, 7)] + [
        "b@1",
        "b@2",
        "b@3",
    ]
    for version in store.versions():
        assert contents(store, version.ref) == {**shared, version.name: version.name.encode()}
    assert not list(store.verify())


def test_many_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packstream, "PACK", 200_000)
    store = make(tmp_path)
    files = {f"f{number}": noise(90_000, number) for number in range(30)}
    publish(store, "a", files)
    assert len(list(store.packs.iterdir())) > 5
    assert contents(store, "a") == files


def test_a_session_that_fails_leaves_nothing_published(tmp_path: Path) -> None:
    store = make(tmp_path)
    with pytest.raises(RuntimeError), store.writer() as writer:
        writer.put(noise(100_000, 1))
        raise RuntimeError
    assert store.versions() == [] and not list(store.temp.iterdir()) and not list(store.sessions.iterdir())
    with pytest.raises(BadInput), store.writer() as writer:
        writer.publish("empty")
    assert store.names() == []


def test_the_service_reads_and_the_world_does_not(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    for path in [store.root, *store.root.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert not mode & 0o007, path
        if path.parent.name in ("packs", "manifests", "locators", "names") or path.name == "store.pub":
            assert mode & 0o040, path
    assert stat.S_IMODE((store.keys / "signing.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(store.keys.stat().st_mode) & 0o077 == 0


def test_paths_to_serve(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "a", FILES)
    assert store.manifest_path(version.id) == store.manifests / version.id
    assert store.locator_path(version.id) == store.locators / version.id
    pack = next(store.packs.iterdir())
    assert store.pack_path(pack.stem) == pack
    for id in ("", "..", "../names/a.book", "0" * 64, version.id.upper(), version.id + "\n", "/etc/passwd"):
        assert (
            store.manifest_path(id) is None and store.pack_path(id) is None and store.locator_path(id) is None
        )


def test_a_lost_locator_is_made_again(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "a", FILES)
    before = store.locator(version.id)
    (store.locators / version.id).unlink()
    assert store.locator(version.id) == before
    assert (store.locators / version.id).exists()


def test_a_lost_or_damaged_index_is_made_again(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    for damage in (None, b"garbage" * 1000, b""):
        (store.root / "index.db").unlink()
        if damage is not None:
            (store.root / "index.db").write_bytes(damage)
        packs = set(store.packs.iterdir())
        publish(store, "a", FILES)
        assert set(store.packs.iterdir()) == packs


def test_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        ImageStore.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    make(tmp_path)
    (tmp_path / "store/format.json").write_text(json.dumps({"format": 3}))
    with pytest.raises(ImageError, match="newer"):
        make(tmp_path)


def test_another_key(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    (store.keys / "signing.key").write_bytes(os.urandom(32))
    with pytest.raises(ImageError, match="does not fit"):
        publish(store, "a", FILES)
    (store.keys / "signing.key").unlink()
    with pytest.raises(ImageError, match="missing"):
        publish(store, "a", FILES)
    assert len(store.versions()) == 1
    (store.root / "store.pub").chmod(0o600)
    (store.root / "store.pub").write_bytes(os.urandom(32))
    with pytest.raises(SignatureInvalid):
        store.manifest("a")


def test_a_name_that_looks_like_a_chunk_is_a_name(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "a", {f'["{"a" * 64}",7]': b"one", "etc": b"two"})
    assert version.bytes == 6 and contents(store, "a")["etc"] == b"two"
