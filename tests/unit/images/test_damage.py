"""Every flipped bit is found: by `verify`, which names file and repair, and by readers first."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from imagestore import ROOT, contents, make, noise, publish

from images import chunker
from images.errors import ImageError
from images.manifest import Entry
from images.sealed import PREFIX
from images.store import ImageStore

FILES = {"a": b"text " * 5000, "b": noise(40_000, 1), "c": noise(100, 2)}


def damage(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.chmod(0o640)
    path.write_bytes(data)


def some_bits(path: Path, count: int) -> list[int]:
    """Each end of the file fully, the middle by sample; the same every time."""
    size = path.stat().st_size * 8
    edges = {*range(min(64, size)), *range(max(0, size - 64), size)}
    return sorted(edges | {random.Random(count).randrange(size) for _ in range(count)})


def places(store: ImageStore) -> list[tuple[Path, int]]:
    folders = (store.packs, store.manifests, store.names_dir, store.locators)
    found = [path for folder in folders for path in folder.iterdir()] + [store.root / "store.pub"]
    return [(path, bit) for path in found for bit in some_bits(path, 150)]


def test_flips(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    assert not list(store.verify())
    harmless = 0
    spots = places(store)
    for path, bit in spots:
        damage(path, bit)
        problems = list(store.verify())
        try:
            read = contents(store, "a")
        except ImageError:
            read = {}
        assert read in ({}, FILES), f"bit {bit} of {path} reached a reader"
        if not problems:  # zstd has a few bits that mean nothing: then everything must still be as it was
            assert read == FILES and path.parent in (store.locators, store.manifests), (
                f"bit {bit} of {path} unseen"
            )
            harmless += 1
        assert all(problem.path and problem.text and problem.repair for problem in problems)
        damage(path, bit)
    assert not list(store.verify())
    assert harmless < len(spots) / 50


def test_nothing_of_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    store = make(tmp_path)
    path = store.manifests / publish(store, "a", {"a": b""}).id
    told = set()
    for bit in range(8 * PREFIX, 8 * path.stat().st_size, 3):
        damage(path, bit)
        told |= {one.text for one in store.verify() if one.path == str(path)}
        damage(path, bit)
    assert "a@1: damaged, its text does not match its hash" in told
    assert not [text for text in told if "header" in text or str(path) in text]


def test_verify_names_the_file_and_import_mends_it(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    publish(store, "b", {"b": FILES["b"]})
    pack = next(store.packs.iterdir())
    damage(pack, 8 * 20_000)  # in the frame of a, b, c
    problems = list(store.verify())
    assert any(problem.path == str(pack) for problem in problems)
    hurt = {problem.text for problem in problems if "lost chunks" in problem.text}
    assert {"a@1: /b has lost chunks", "b@1: /b has lost chunks"} <= hurt
    again = "import a and b again from their sources"
    repair = "run `bootsrv image verify --repair`"
    assert {p.repair for p in problems} == {repair, f"{repair}, then {again}"}
    for found in (store.verify(repair=True), store.verify()):  # once it is repaired, only the import is left
        assert {p.repair for p in found if "lost chunks" in p.text} == {again}
    made = publish(store, "a", FILES)
    assert made.number == 2 and contents(store, "a") == FILES
    assert not list(store.verify()), "one import suffices, for all versions that lacked chunks"
    assert contents(store, "a@1") == FILES and contents(store, "b") == {"b": FILES["b"]}


def test_repair_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.packstream.FRAME", 50_000)
    store = make(tmp_path)
    files = {f"f{number}": noise(50_000, number) for number in range(10)}
    publish(store, "a", files)
    pack = next(store.packs.iterdir())
    damage(pack, 8 * 125_000)  # in the third frame
    problems = list(store.verify(repair=True))
    assert [problem.text for problem in problems if "lost" in problem.text] == ["a@1: /f2 has lost chunks"]
    publish(store, "b", files)
    added = [path for path in store.packs.iterdir() if path.stat().st_size < 100_000]
    assert len(added) == 1, "only the lost chunk was stored again"
    list(store.verify(repair=True))
    assert contents(store, "a") == files
    store.gc(grace=0)
    assert not pack.exists() and contents(store, "a") == files and not list(store.verify())


def test_lost_files(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    pack = next(store.packs.iterdir())
    saved = pack.read_bytes()
    pack.unlink()
    with pytest.raises(ImageError, match="image verify"):
        contents(store, "a")
    assert {p.text for p in store.verify()} >= {"a@1: /b has lost chunks"}
    pack.write_bytes(saved[:1000])
    with pytest.raises(ImageError, match=f"^a@1: {pack} is cut short; run `bootsrv image verify --repair`"):
        contents(store, "a")
    pack.write_bytes(saved[:-1])
    assert any(p.path == str(pack) for p in store.verify())
    pack.write_bytes(saved)
    assert not list(store.verify())
    next(store.manifests.iterdir()).unlink()
    assert [p.text for p in store.verify()] == ["a@1: its manifest is gone"]


def test_a_damaged_catalogue_is_rebuilt(tmp_path: Path) -> None:
    store = make(tmp_path)
    first, second = publish(store, "a", FILES), publish(store, "a", {"x": b"1"})
    damage(store.names_dir / "a.book", 1000)
    with pytest.raises(ImageError, match="--repair"):
        store.versions()
    assert len(list(store.verify())) == 1
    list(store.verify(repair=True))
    assert not list(store.verify())
    assert [version.id for version in store.versions("a")] == [first.id, second.id]
    assert publish(store, "a", {"x": b"2"}).number == 3


def test_a_lost_catalogue_is_rebuilt_and_nothing_is_deleted_meanwhile(tmp_path: Path) -> None:
    store = make(tmp_path)
    first, second = publish(store, "a", FILES), publish(store, "a", {"x": b"1"})
    publish(store, "other", {"y": b"2"})
    book = store.names_dir / "a.book"
    book.unlink()
    kept = {path: path.read_bytes() for folder in (store.manifests, store.packs) for path in folder.iterdir()}
    assert store.lost() == [f"{book} is lost: it says which versions of a there are"]
    for refused in (lambda: store.gc(grace=0), lambda: publish(store, "a", {"x": b"2"})):
        with pytest.raises(ImageError, match=f"{book} is lost.*image verify --repair"):
            refused()
    assert kept.items() <= {path: path.read_bytes() for path in kept if path.exists()}.items()
    assert publish(store, "third", {"z": b"3"}).number == 1, "other names are not held up"
    assert [(one.path, one.repair) for one in store.verify()] == [
        (str(book), "run `bootsrv image verify --repair`")
    ]
    assert [one[2:4] for one in store.verify(repair=True)] == [("mended from its spare", True)]
    assert not list(store.verify()) and not store.lost()
    assert [version.id for version in store.versions("a")] == [first.id, second.id]
    assert contents(store, "a@1") == FILES
    store.gc(grace=0)
    assert publish(store, "a", {"x": b"2"}).number == 3


def test_a_lost_catalogue_of_what_cannot_be_read(tmp_path: Path) -> None:
    """Is not made anew, empty: gc would take for unused what a backup could bring back."""
    store = make(tmp_path)
    version = publish(store, "a", FILES)
    publish(store, "other", {"y": b"2"})
    for suffix in ("book", "spare"):
        (store.names_dir / f"a.{suffix}").unlink()
    damage(store.manifests / version.id, 8 * 50)  # of the signature
    (problem,) = store.verify(repair=True)
    assert version.id[:12] in problem.text and "backup" in problem.repair
    with pytest.raises(ImageError, match="is lost"):
        store.gc(grace=0)
    assert (store.manifests / version.id).exists()
    (store.manifests / version.id).unlink()
    assert not list(store.verify())
    store.gc(grace=0)


def test_a_removed_image_is_no_lost_one(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    store.remove("a@1")
    assert not list(store.verify()) and not store.lost()
    store.gc(grace=0)
    assert not list(store.manifests.iterdir())


def test_after_the_repair_readers_name_file_image_and_what_to_do(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    pack = next(store.packs.iterdir())
    damage(pack, 8 * 20_000)
    list(store.verify(repair=True))
    again = "import a again from its source"
    with pytest.raises(ImageError, match=rf"^a@1: /[abc] has lost chunks; {again}$"):
        contents(store, "a")
    publish(store, "a", FILES)
    assert contents(store, "a@1") == FILES


def test_readers_name_the_image_of_a_damaged_or_lost_manifest(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "a", FILES)
    path = store.manifests / version.id
    data = bytearray(path.read_bytes())
    data[-40:-20] = bytes(255 - byte for byte in data[-40:-20])  # of one bit alone the text may not depend
    path.write_bytes(data)
    for ref in ("a", version.id):
        with pytest.raises(ImageError, match=f"^a@1: its manifest {path}: .*; restore it.* or remove a@1$"):
            store.manifest(ref)
    path.unlink()
    with pytest.raises(ImageError, match=f"^a@1: its manifest {path} is missing; restore .* remove a@1$"):
        store.manifest(version.id)


def test_readers_name_the_file_that_needs_a_lost_pack_or_is_not_in_the_locator(tmp_path: Path) -> None:
    store = make(tmp_path)
    first, second = publish(store, "a", FILES), publish(store, "a", {**FILES, "d": noise(30_000, 9)})
    locator = (store.locators / second.id).read_bytes()
    (store.locators / second.id).write_bytes((store.locators / first.id).read_bytes())
    with pytest.raises(ImageError, match=r"^a@2: /d is not in its locator; run .* --repair`$"):
        contents(store, "a@2")
    (store.locators / second.id).write_bytes(locator)
    packs = sorted(store.packs.iterdir(), key=lambda path: path.stat().st_size)
    packs[0].unlink()  # the one of d
    with pytest.raises(ImageError, match=f"^a@2: /d has lost chunks, {packs[0]} is missing; .*image verify"):
        contents(store, "a@2")


def test_an_import_after_the_repair_brings_a_lost_pack_back(tmp_path: Path) -> None:
    """A locator that points into the lost pack would stay in the way."""
    store = make(tmp_path)
    publish(store, "a", FILES)
    next(store.packs.iterdir()).unlink()
    repair, again = "run `bootsrv image verify --repair`", "import a again from its source"
    assert f"{repair}, then {again}" in {one.repair for one in store.verify()}
    assert again in {one.repair for one in store.verify(repair=True)}
    assert {one.repair for one in store.verify()} == {again}
    publish(store, "other", FILES)
    assert not list(store.verify()) and contents(store, "a@1") == FILES


def test_a_catalogue_comes_back_whole_from_its_spare(tmp_path: Path) -> None:
    """With tags, with the number of what was removed, and without what was removed."""
    store = make(tmp_path)
    for seed in range(4):
        publish(store, "a", {"x": noise(100, seed)})
    store.tag("a@2", "stable")
    store.remove("a@1")
    store.remove("a@4")
    book = store.names_dir / "a.book"
    before = book.read_bytes()
    for hurt in (book.unlink, lambda: damage(book, 3000), lambda: damage(book.with_suffix(".spare"), 3000)):
        hurt()
        assert [one.repair for one in store.verify()] == ["run `bootsrv image verify --repair`"]
        assert all(one.mended for one in store.verify(repair=True))
        assert not list(store.verify()) and not store.lost() and book.read_bytes() == before
    book.with_suffix(".spare").unlink()
    assert not list(store.verify()) and not list(store.verify(repair=True)), "an older store has none"
    assert book.with_suffix(".spare").read_bytes() == before
    (store.manifests / store.resolve("a@3").id).unlink()
    book.unlink()
    assert {one.text for one in store.verify(repair=True) if not one.mended} == {"a@3: its manifest is gone"}
    assert publish(store, "a", {"x": noise(100, 9)}).number == 5


def test_what_is_lost_with_a_catalogue_and_its_spare_is_told(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    second = publish(store, "a", {"x": b"1"})
    damage(store.manifests / second.id, 8 * 50)
    for suffix in ("book", "spare"):
        damage(store.names_dir / f"a.{suffix}", 1000)
    found = [one for one in store.verify(repair=True) if not one.mended]
    assert [Path(one.path).name for one in found] == ["a.book", second.id]
    assert "tags it had are lost" in found[0].repair and found[1].text.endswith("may be a version of a")
    assert contents(store, "a") == FILES


def test_a_public_key_is_mended_from_the_private_one_and_no_version_is_blamed(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    public = store.root / "store.pub"
    before = public.read_bytes()
    for hurt in (public.unlink, lambda: damage(public, 9)):
        hurt()
        damage(store.names_dir / "a.book", 1000)
        assert [one.path for one in store.verify()] == [str(public)], "a catalogue would be made anew, empty"
        assert all(one.mended for one in store.verify(repair=True))
        assert not list(store.verify()) and public.read_bytes() == before and contents(store, "a") == FILES
    private = store.keys / "signing.key"
    damage(private, 5)
    assert [one.path for one in store.verify()] == [str(private)]
    public.unlink()
    (problem,) = store.verify(repair=True)
    assert (problem.path, problem.repair) == (str(public), "restore it from a backup")


def test_a_chunk_that_another_pack_has_is_not_lost(tmp_path: Path) -> None:
    store = make(tmp_path)
    with store.writer() as writer:  # knows nothing of what is published meanwhile
        publish(store, "a", {"x": noise(70_000, 1)})
        (pack,) = store.packs.iterdir()
        writer.tree.add(ROOT)
        chunks = tuple(writer.put(data) for data in (b"beside", *chunker.cut_whole(noise(70_000, 1))))
        writer.tree.add(Entry(b"x", "file", mode=0o644, size=70_006, chunks=chunks))
        writer.publish("b")
    damage(pack, 8 * 20_000)
    assert [one for one in store.verify() if "lost chunks" in one.text]
    found = list(store.verify(repair=True))
    assert {one.repair for one in found if one.path == str(pack)} == {
        "mended from the copies in other packs"
    }
    assert all(one.mended for one in found) and not list(store.verify())
    assert contents(store, "a") == {"x": noise(70_000, 1)}


def test_a_damaged_index_is_told_and_made_anew(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    store.index.write_bytes(b"no database at all" * 1000)
    (problem,) = store.verify()
    assert problem.path == str(store.index) and problem.mended and "rebuilt from the packs" in problem.repair
    store.index.unlink()
    assert not list(store.verify()), "a backup has none"


def test_a_list_that_cannot_be_read_fails_no_import_of_another_image(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", {"x": b"x"})
    (store.names_dir / "other.book").mkdir()
    publish(store, "a", {"x": b"y"})
    assert store.resolve("a").number == 2
