"""Out of the store as a directory and as tar, and back in again, without a difference."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from imagestore import make
from nastytree import build, snapshot

from images.errors import ImageConflict, ImageNotFound
from images.exporting.to_directory import export_directory
from images.exporting.to_tar import export_tar
from images.importing.auto import import_image
from images.importing.from_directory import import_directory
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    root = tmp_path / "nasty"
    root.mkdir()
    build(root)
    return root


@pytest.fixture
def store(tmp_path: Path, nasty: Path) -> ImageStore:
    made = make(tmp_path)
    import_directory(made, "nasty", nasty, excludes=())
    return made


def expected(tree: Path) -> dict[bytes, dict[str, object]]:
    """What a tar can say: no sockets, no holes; an access time is nobody's business anyway."""
    found = snapshot(tree)
    found.pop(b"dev/socket", None)
    for row in found.values():
        row.pop("holes", None)
    return found


def test_directory(store: ImageStore, nasty: Path, tmp_path: Path) -> None:
    told: list[int] = []
    export_directory(store, "nasty", tmp_path / "a/b", lambda done, total, what: told.append(done))
    assert snapshot(tmp_path / "a/b") == snapshot(nasty) and told[-1] > 2_000_000
    with pytest.raises(ImageConflict, match="not empty"):
        export_directory(store, "nasty", tmp_path / "a/b")
    with pytest.raises(ImageNotFound):
        export_directory(store, "other", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_tar_by_gnu_tar(store: ImageStore, nasty: Path, tmp_path: Path) -> None:
    with (tmp_path / "x.tar").open("wb") as file:
        export_tar(store, "nasty", file)
    out = tmp_path / "out"
    out.mkdir()
    command = ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", str(tmp_path / "x.tar")]
    subprocess.run([*command, "-C", str(out)], check=True, capture_output=True)
    wanted, got = expected(nasty), expected(out)
    for tree in (wanted, got):
        for key in (b"dangling", b"dangling too", b"dev/fifo"):
            tree[key]["xattrs"] = {}  # GNU tar gives links and fifos none
    assert got == wanted


def test_tar_and_back(store: ImageStore, nasty: Path, tmp_path: Path) -> None:
    with (tmp_path / "x.tar").open("wb") as file:
        export_tar(store, "nasty", file)
    import_image(store, "again", tmp_path / "x.tar")
    export_directory(store, "again", tmp_path / "out")
    assert expected(tmp_path / "out") == expected(nasty)
