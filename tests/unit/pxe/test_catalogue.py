"""The catalogue: names from the network are keys, never paths."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pxe.catalogue import Catalogue, entry_of, normalise


@pytest.fixture
def tree(tmp_path):
    public = tmp_path / "public"
    (public / "sub/deep").mkdir(parents=True)
    (public / "a.txt").write_text("a")
    (public / "sub/deep/b.bin").write_bytes(b"bb")
    (tmp_path / "secret").write_text("secret")
    return public


SPELLINGS = [
    "sub/deep/b.bin",
    "/sub/deep/b.bin",
    "\\sub\\deep\\b.bin",
    "//sub/./deep//b.bin",
    "SUB/Deep/B.BIN",
]


@pytest.mark.parametrize("name", [*SPELLINGS, "sub/deep/b.bin\xff", "sub/deep/b.bin "])
def test_firmware_spellings(tree, name):
    assert Catalogue(public=tree).find(name).size == 2


@pytest.mark.parametrize(
    "name", ["../secret", "sub/../../secret", "..\\secret", "/etc/passwd", "", "/", "sub", "."]
)
def test_nothing_outside_is_found(tree, name):
    assert Catalogue(public=tree).find(name) is None


@given(st.text(st.sampled_from("./\\asecret\0 "), max_size=20))
@example(" \\.")
def test_a_normalised_name_is_relative_and_tidy(name):
    key = normalise(name)
    assert "\\" not in key and "//" not in key
    assert not key.startswith("/") and not key.endswith(("/", "\0", " "))


def test_links_inside_are_followed_and_links_outside_refused(tree):
    (tree / "in").symlink_to(tree / "a.txt")
    (tree / "out").symlink_to(tree.parent / "secret")
    (tree / "outdir").symlink_to(tree.parent)
    (tree / "loop").symlink_to(tree)
    catalogue = Catalogue(public=tree)
    assert catalogue.find("in").size == 1
    assert catalogue.find("out") is None
    assert catalogue.find("outdir/secret") is None
    assert catalogue.find("loop/a.txt") is None


def test_a_file_that_becomes_a_link_to_the_outside_is_not_opened(tree):
    catalogue = Catalogue(public=tree)
    entry = catalogue.find("sub/deep/b.bin")
    os.rename(tree / "sub/deep", tree.parent / "moved")
    (tree / "sub/deep").symlink_to(tree.parent / "moved")
    with pytest.raises(OSError):
        entry.open()
    (tree / "a2").symlink_to(tree.parent / "secret")
    os.replace(tree / "a2", tree / "a.txt")
    found = catalogue.find("a.txt")
    if found is not None:
        with pytest.raises(OSError):
            found.open()


def test_special_files_are_not_served(tree):
    os.mkfifo(tree / "fifo")
    assert Catalogue(public=tree).find("fifo") is None


def test_new_changed_and_removed_files_are_noticed(tree):
    catalogue = Catalogue(public=tree)
    assert catalogue.find("new") is None
    (tree / "new").write_text("1")
    wait_for(lambda: catalogue.find("new"))
    first = catalogue.find("new")
    (tree / "new").write_text("22")
    assert catalogue.find("new").size == 2
    assert catalogue.find("new").etag != first.etag
    (tree / "new").unlink()
    assert catalogue.find("new") is None
    (tree / "dir").mkdir()
    (tree / "dir/x").write_text("x")
    wait_for(lambda: catalogue.find("dir/x"))
    (tree / "dir").rename(tree / "other")
    assert catalogue.find("dir/x") is None
    wait_for(lambda: catalogue.find("other/x"))


def test_a_public_directory_that_comes_later(tmp_path):
    catalogue = Catalogue(public=tmp_path / "public")
    assert catalogue.find("x") is None
    (tmp_path / "public").mkdir()
    (tmp_path / "public/x").write_text("x")
    wait_for(lambda: catalogue.find("x"))


def test_fixed_entries_come_first_and_forgive_case(tree):
    catalogue = Catalogue(
        {"a.txt": b"fixed", "Loaders/Grub.efi": tree / "a.txt", "gone": tree / "none"}, tree
    )
    assert catalogue.find("a.txt").data == b"fixed"
    assert catalogue.find("loaders/grub.EFI").path == tree / "a.txt"
    assert catalogue.find("gone") is None


def test_generated_entries_know_the_peer(tree):
    class ByPeer:
        def find(self, name, peer):
            return f"for {peer}".encode() if name == "grub.cfg" else None

    catalogue = Catalogue(public=tree, generated=[ByPeer()])
    assert catalogue.find("/grub.cfg", "10.0.0.7").data == b"for 10.0.0.7"
    assert catalogue.find("a.txt", "10.0.0.7").size == 1


def test_an_empty_fixed_entry_is_an_entry():
    assert Catalogue({"empty": b""}).find("empty").size == 0
    assert entry_of(Path("/nonexistent/x")) is None


def test_a_missing_name_costs_microseconds(tree):
    for i in range(300):
        (tree / f"d{i}").mkdir()
        (tree / f"d{i}/f").write_text("")
    ticks = iter(range(10**9))
    catalogue = Catalogue(public=tree, clock=lambda: next(ticks) / 1e6)
    scans = 0
    original = catalogue._tree._scan

    def counted(relative, seen):
        nonlocal scans
        scans += not relative
        return original(relative, seen)

    catalogue._tree._scan = counted
    for _ in range(1000):
        assert catalogue.find("nothing") is None
    assert scans < 50


def wait_for(found, tries=200):
    import time

    for _ in range(tries):
        if found():
            return
        time.sleep(0.01)
    raise AssertionError("not noticed within two seconds")
