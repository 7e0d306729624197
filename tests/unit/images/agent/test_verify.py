"""Reading back: a byte that the disk lost is found, holes and links are no trouble."""

import os

import pytest

from images.agent import verify
from images.errors import ChunkCorrupt
from images.importing.from_directory import import_directory
from images.store import ImageStore
from images.tree_writer import write_tree


@pytest.fixture
def written(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "etc").mkdir(parents=True)
    for number in range(20):
        (source / f"file{number:02}").write_bytes(os.urandom(3000 + number * 5000))
    with (source / "sparse").open("wb") as file:
        file.write(os.urandom(100_000))
        file.seek(5_000_000)
        file.write(os.urandom(70_000))
    (source / "link").symlink_to("/etc/shadow")
    os.link(source / "file01", source / "same")
    store = ImageStore.open(tmp_path / "store")
    import_directory(store, "t", source)
    manifest = store.manifest("t")
    target.mkdir()
    write_tree(manifest, store.source("t"), target)
    return manifest, target


def test_a_sound_tree_passes_whole(written):
    manifest, target = written
    files, read = verify.verify_sample(target, manifest, budget=1 << 30)
    assert files == 21 and read > 1_000_000


def test_a_budget_bounds_what_is_read(written):
    manifest, target = written
    files, read = verify.verify_sample(target, manifest, budget=200_000)
    assert 0 < files < 15 and read < 500_000


@pytest.mark.parametrize("name", ["file07", "sparse"])
def test_one_flipped_byte_is_found_and_named(written, name):
    manifest, target = written
    with (target / name).open("r+b") as file:
        file.seek(-500, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ChunkCorrupt, match=f"/{name} reads back differently"):
        verify.verify_sample(target, manifest, budget=1 << 30)


def test_a_file_that_is_too_short_is_found(written):
    manifest, target = written
    os.truncate(target / "file09", 100)
    with pytest.raises(ChunkCorrupt, match="/file09 reads back"):
        verify.verify_sample(target, manifest, budget=1 << 30)


def test_only_what_was_written_is_read_back(written):
    manifest, target = written
    names = [entry.path for entry in manifest.entries()]
    (target / "file07").write_bytes(b"not looked at: it was compared")
    marks = bytearray(name in (b"file03", b"file11") for name in names)
    files, read = verify.verify_sample(target, manifest, budget=1 << 30, written=marks)
    assert (files, read) == (2, 18_000 + 58_000)
    assert verify.verify_sample(target, manifest, written=bytearray(len(names))) == (0, 0)
    marks[names.index(b"file07")] = 1
    with pytest.raises(ChunkCorrupt, match="/file07"):
        verify.verify_sample(target, manifest, budget=1 << 30, written=marks)
