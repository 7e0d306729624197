"""ACLs, odd names of attributes, what is lost: as GNU tar, bsdtar and our own importers find it."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest
from imagestore import make

from images.acl import acl_text, acl_xattr
from images.errors import BadInput
from images.exporting.formats import export_image
from images.importing.auto import import_image
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
READERS = {
    "GNU tar": ("tar", "--acls", "--xattrs", "--xattrs-include=*", "-xpf"),
    "GNU tar, ACLs alone": ("tar", "--acls", "-xpf"),
    "bsdtar": ("bsdtar", "-xpf"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (made / "shared").write_text("x")
    (made / "shared").chmod(0o640)
    (made / "folder").mkdir()
    for acl, name in (("g::---,u:4711:rwx,g:4712:r", "shared"), ("d:u:4711:rx", "folder")):
        subprocess.run(["setfacl", "-m", acl, str(made / name)], check=True)
    os.setxattr(made / "shared", "user.a=b", b"val")
    os.setxattr(made / "shared", "user.c%3Dd%25", b"=%3D")
    os.setxattr(made / "shared", "user.e f", b"blank")
    for name in ("etc", "etc/passwd", "shared", "folder", "."):
        os.utime(made / name, ns=(0, 1_600_000_000 * 10**9))
    return made


@pytest.fixture
def store(tmp_path: Path, root: Path) -> ImageStore:
    made = make(tmp_path)
    import_image(made, "a", root)
    return made


def rights(path: Path) -> str:
    return subprocess.run(
        ["getfacl", "-n", "-c", "-p", str(path)], check=True, capture_output=True, text=True
    ).stdout


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_acls_come_out_of_a_tar(store: ImageStore, root: Path, tmp_path: Path, reader: str) -> None:
    export_image(store, "a", tmp_path / "a.tar")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([*READERS[reader], str(tmp_path / "a.tar"), "-C", str(out)], check=True)
    assert "user:4711:rwx" in rights(root / "shared") and "group::---" in rights(root / "shared")
    for name in ("shared", "folder", "etc/passwd"):
        assert rights(out / name) == rights(root / name)
        assert (out / name).stat().st_mode == (root / name).stat().st_mode


def test_attributes_keep_their_names(store: ImageStore, root: Path, tmp_path: Path) -> None:
    """Through our own tar and container image; out by GNU tar, and in from it and from bsdtar."""
    wanted = attributes(root / "shared")
    assert len(wanted) == 4
    export_image(store, "a", tmp_path / "a.tar")
    export_image(store, "a", tmp_path / "a.oci")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([*READERS["GNU tar"], str(tmp_path / "a.tar"), "-C", str(out)], check=True)
    assert attributes(out / "shared") == wanted
    pack = ("--acls", "--xattrs", "-cf")
    subprocess.run(["tar", *pack, str(tmp_path / "gnu.tar"), "-C", str(root), "."], check=True)
    subprocess.run(["bsdtar", *pack, str(tmp_path / "bsd.tar"), "-C", str(root), "."], check=True)
    for number, name in enumerate(("a.tar", "a.oci", "gnu.tar", "bsd.tar")):
        import_image(store, f"again{number}", tmp_path / name)
        found = {entry.path: entry for entry in store.manifest(f"again{number}").entries()}
        assert found[b"shared"].xattrs == wanted, name


def test_a_squashfs_says_what_it_loses(store: ImageStore, root: Path, tmp_path: Path) -> None:
    os.utime(root / "etc/passwd", ns=(0, -1_000_000_000 * 10**9))
    os.utime(root / "etc", ns=(0, 1_600_000_000 * 10**9 + 5))
    with (root / "sparse").open("wb") as file:
        file.truncate(10 << 20)
    os.utime(root / "sparse", (0, 0))
    os.utime(root, (0, 0))
    import_image(store, "b", root)
    _, written = export_image(store, "b", tmp_path / "b.squashfs")
    assert written.losses == (
        "squashfs: ACLs are lost, and the group has the rights of the ACL's mask (names: 2)",
        "squashfs: extended attributes are lost (names: 1)",
        "squashfs: holes are gone, and read as zeros (names: 1)",
        "squashfs: times are rounded down to seconds (names: 1)",
        "squashfs: times outside 1970 to 2106 change (names: 1)",
    )
    import_image(store, "back", tmp_path / "b.squashfs")
    found = {entry.path: entry for entry in store.manifest("back").entries()}
    assert found[b"shared"].xattrs == {"user.c%3Dd%25": b"=%3D", "user.e f": b"blank"}
    _, written = export_image(store, "b", tmp_path / "b.oci")
    assert written.losses == ("container image: holes are gone, and read as zeros (names: 1)",)
    assert export_image(store, "b", tmp_path / "b.tar")[1].losses == ()


def test_a_name_that_is_a_whiteout(store: ImageStore, root: Path, tmp_path: Path) -> None:
    (root / "folder/.wh.shared").write_text("mine")
    import_image(store, "a", root)
    with pytest.raises(BadInput, match=r"/folder/\.wh\.shared: in a container image"):
        export_image(store, "a", tmp_path / "a.oci")
    assert not (tmp_path / "a.oci").exists()
    export_image(store, "a", tmp_path / "a.tar")


def test_acl_text_there_and_back() -> None:
    text = "user::rwx,user:4711:r-x,group::---,group:0:-w-,mask::rwx,other::r--"
    assert acl_text(acl_xattr(text, {}, {})) == text
    good = acl_xattr(text, {}, {})
    for bad in (b"", good[:-1], b"\1" + good[1:], good + struct.pack("<HHI", 3, 0, 0), good[:4]):
        assert acl_text(bad) is None
