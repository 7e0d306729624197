"""A tree made to be nasty comes out of the store exactly as it went in, whatever way it went."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from nastytree import build, snapshot

from images.importing.auto import import_image
from images.importing.from_directory import import_directory
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def restore(store: ImageStore, ref: str, target: Path) -> Path:
    target.mkdir()
    write_tree(store.manifest(ref), store.source(ref), target)
    return target


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore.open(tmp_path / "store")


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    root = tmp_path / "nasty"
    root.mkdir()
    build(root)
    return root


def test_directory(store: ImageStore, nasty: Path, tmp_path: Path) -> None:
    before = snapshot(nasty)
    import_directory(store, "nasty", nasty, excludes=())
    assert snapshot(nasty) == before, "importing changed its source"
    assert snapshot(restore(store, "nasty", tmp_path / "out")) == before


def test_second_run_over_what_a_first_one_left(store: ImageStore, nasty: Path, tmp_path: Path) -> None:
    import_directory(store, "nasty", nasty, excludes=())
    out = restore(store, "nasty", tmp_path / "out")
    (out / "empty").write_bytes(b"changed")
    (out / "etc/hostname").unlink()
    (out / "big").chmod(0o777)
    write_tree(store.manifest("nasty"), store.source("nasty"), out)
    assert snapshot(out) == snapshot(nasty)


@pytest.mark.parametrize("packer", ["", "gzip", "xz", "zstd"])
def test_gnu_tar(store: ImageStore, nasty: Path, tmp_path: Path, packer: str) -> None:
    (nasty / "dev/socket").unlink()  # tar keeps no sockets
    os.utime(nasty / "dev", ns=(7, 7))
    archive = tmp_path / "archive"
    command = [
        "tar",
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
        "--sparse",
        "--format=posix",
        "--numeric-owner",
    ]
    command += [f"--{packer}"] if packer else []
    subprocess.run([*command, "-cf", str(archive), "-C", str(nasty), "."], check=True, capture_output=True)
    import_image(store, "nasty", archive)
    before, after = snapshot(nasty), snapshot(restore(store, "nasty", tmp_path / "out"))
    for tree in (before, after):
        for key, row in tree.items():
            row.pop("holes", None)  # where tar sees a hole is its own business; the data is compared
            if key.startswith(b"dangling") or key == b"dev/fifo":
                row["xattrs"] = {}  # GNU tar keeps none of links and fifos
    assert after == before


def test_python_tar(store: ImageStore, nasty: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "archive.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(nasty, ".", filter=lambda member: None if member.name == "./dev/socket" else member)
    import_image(store, "nasty", tmp_path / "archive.tar")
    after = snapshot(restore(store, "nasty", tmp_path / "out"))
    for key, row in snapshot(nasty).items():
        if key in (b"dev/socket", b"dangling too"):  # it keeps no sockets, and no second name of a symlink
            continue
        for what in ("mode", "uid", "gid", "target", "rdev", "size", "data", "same as"):
            assert after[key].get(what) == row.get(what), (key, what)


def test_same_tree_again_costs_nothing(store: ImageStore, nasty: Path) -> None:
    import_directory(store, "nasty", nasty, excludes=())
    packs = {path.name for path in store.packs.iterdir()}
    second = import_directory(store, "nasty", nasty, excludes=())
    assert second.number == 2 and {path.name for path in store.packs.iterdir()} == packs
    assert second.parent == store.resolve("nasty@1").id
