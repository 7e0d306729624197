"""What each kind of root is said to leave out is what it does leave out: against tar2sqfs and the kernel's
EROFS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nastytree
import pytest

from images.erofs.writing import write_image
from images.exporting.to_squashfs import export_squashfs
from images.importing.from_directory import import_directory
from images.importing.from_squashfs import import_squashfs
from images.manifest import Entry
from images.netroot.losses import losses, text
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    (tmp_path / "tree").mkdir()
    nastytree.build(tmp_path / "tree")
    store = ImageStore.open(tmp_path / "store")
    import_directory(store, "nasty", tmp_path / "tree", excludes=())
    return store


def names(store: ImageStore, ref: str) -> dict[str, set[str]]:
    """Attributes by path; a socket is one as well."""
    return {
        f"/{entry.name}": set(entry.xattrs) | ({"sockets"} if entry.type == "socket" else set())
        for entry in store.manifest(ref).entries()
    }


def said(wanted: dict[str, set[str]], got: dict[str, set[str]]) -> dict[str, int]:
    missing: dict[str, int] = {}
    for path, names in wanted.items():
        for name in names - got.get(path, set()):
            missing[name] = missing.get(name, 0) + 1
    return missing


def test_squashfs(store: ImageStore, tmp_path: Path) -> None:
    export_squashfs(store, "nasty", tmp_path / "root.squashfs")
    import_squashfs(store, "back", tmp_path / "root.squashfs")
    missing = said(names(store, "nasty"), names(store, "back"))
    told = losses(store.manifest("nasty").entries())["ram"]
    assert {"sockets", "system.posix_acl_access"} <= set(missing)
    assert {loss["what"]: loss["files"] for loss in told} == missing


def test_erofs(store: ImageStore, tmp_path: Path) -> None:
    left = write_image(store.manifest("nasty"), store.source("nasty"), tmp_path / "image")
    assert left == [] and losses(store.manifest("nasty").entries())["nbd"] == []
    (tmp_path / "there").mkdir()
    subprocess.run(["mount", "-o", "loop,ro", tmp_path / "image", tmp_path / "there"], check=True)
    try:
        import_directory(store, "back", tmp_path / "there", excludes=())
    finally:
        subprocess.run(["umount", tmp_path / "there"], check=True)
    assert said(names(store, "nasty"), names(store, "back")) == {}


def test_what_btrfs_keeps_for_itself_is_in_neither(tmp_path: Path) -> None:
    """And keeps no root from being made."""
    entries = [
        Entry(b"", "dir", mode=0o755, xattrs={"btrfs.compression": b"zstd", "security.selinux": b"x\0"}),
        Entry(b"a", "dir", mode=0o755, xattrs={"btrfs.compression": b"zstd"}),
    ]
    found = losses(entries)
    assert (
        [text(loss) for loss in found["ram"]]
        == ["btrfs.compression (/ and 1 more)"]
        == [text(loss) for loss in found["nbd"]]
    )
    assert [text(loss) for loss in found["nfs"]][1] == "security.selinux (/)"
    store = ImageStore.open(tmp_path / "store")
    with store.writer() as writer:
        for entry in entries:
            writer.tree.add(entry)
        writer.publish("fedora")
    export_squashfs(store, "fedora", tmp_path / "root.squashfs")
    assert len(write_image(store.manifest("fedora"), store.source("fedora"), tmp_path / "image")) == 2
