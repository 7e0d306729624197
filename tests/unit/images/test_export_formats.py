"""Every form that goes out comes back in as the same entries, but for what that form cannot say."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from imagestore import make
from nastytree import build, snapshot

from images.editing.edit import edit_image
from images.errors import BadInput, ImageConflict, ImageError, ImageNotFound
from images.exporting.formats import FORMATS, export_image, form_of
from images.exporting.to_directory import export_directory
from images.importing.auto import import_image
from images.importing.from_directory import import_directory
from images.manifest import Entry
from images.pack import SUFFIX
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    (tmp_path / "nasty").mkdir()
    build(tmp_path / "nasty")
    made = make(tmp_path)
    import_directory(made, "nasty", tmp_path / "nasty", excludes=())
    return made


def entries(store: ImageStore, ref: str) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in store.manifest(ref).entries()}


Tree = dict[bytes, Entry]


def round_trip(
    store: ImageStore, tmp_path: Path, target: str, wanted: str | None = None
) -> tuple[Tree, Tree]:
    form, written = export_image(store, "nasty", tmp_path / target, wanted)
    assert form in FORMATS and written.files > 20
    import_image(store, "again", tmp_path / target, excludes=())
    return entries(store, "nasty"), entries(store, "again")


def nameless(found: dict[bytes, Entry]) -> dict[bytes, Entry]:
    return {path: entry._replace(user="", group="") for path, entry in found.items()}


def test_directory(store: ImageStore, tmp_path: Path) -> None:
    wanted, got = round_trip(store, tmp_path, "out")
    assert wanted == got


def test_tar_keeps_holes(store: ImageStore, tmp_path: Path) -> None:
    wanted, got = round_trip(store, tmp_path, "out.tar")
    del wanted[b"dev/socket"]
    assert wanted[b"sparse"].extents and wanted == got


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.zst", "tar.xz", "TAR.GZ"])
def test_tar_is_packed_as_its_name_says(store: ImageStore, tmp_path: Path, ending: str) -> None:
    wanted, got = round_trip(store, tmp_path, f"out.{ending}")
    del wanted[b"dev/socket"]
    assert wanted == got
    listed = subprocess.run(["tar", "-tf", str(tmp_path / f"out.{ending}")], check=True, capture_output=True)
    assert b"./etc/hostname" in listed.stdout or b"etc/hostname" in listed.stdout
    assert (tmp_path / f"out.{ending}").read_bytes()[:2] in (b"\x1f\x8b", b"\x28\xb5", b"\xfd7")


@pytest.mark.parametrize("name", ["x.foo", "x.cpio", "image-1.2", "-", "."])
def test_an_ending_that_says_nothing_is_refused(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # what is made by mistake is not made in the checkout
    target = Path(name) if name in ("-", ".") else tmp_path / name
    with pytest.raises(BadInput, match=r"no form of export; there are directory, tar|no file or directory"):
        export_image(store, "nasty", target)
    assert name == "." or not target.exists()


def test_a_directory_of_such_a_name_when_it_is_said(store: ImageStore, tmp_path: Path) -> None:
    assert export_image(store, "nasty", tmp_path / "image-1.2", "directory")[0] == "directory"
    assert (tmp_path / "image-1.2/etc").is_dir()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.TAR", "tar"), ("x.Tgz", "tar"), ("x.SquashFS", "squashfs"), ("x.IMG", "raw"),
        ("x.QCOW2", "qcow2"), ("x.OCI", "oci"), ("plain", "directory"), (".hidden", "directory"),
        ("a.b/plain", "directory"),
    ],
)  # fmt: skip
def test_endings(name: str, form: str) -> None:
    assert form_of(Path(name)) == form


def test_gnu_tar_reads_the_holes(store: ImageStore, tmp_path: Path) -> None:
    export_image(store, "nasty", tmp_path / "x.tar")
    out = tmp_path / "out"
    out.mkdir()
    command = ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", str(tmp_path / "x.tar")]
    subprocess.run([*command, "-C", str(out)], check=True, capture_output=True)
    got, wanted = snapshot(out), snapshot(tmp_path / "nasty")
    for name in (b"sparse", b"hole", b"big"):
        assert got[name] == wanted[name]
    assert (out / "sparse").stat().st_blocks * 512 < 1 << 20


def test_container_image(store: ImageStore, tmp_path: Path) -> None:
    wanted, got = round_trip(store, tmp_path, "layout", "oci")
    del wanted[b"dev/socket"]
    assert wanted.keys() == got.keys()
    holes = {b"sparse", b"hole"}
    assert {path: wanted[path] for path in wanted if path not in holes} == {
        path: got[path] for path in got if path not in holes
    }
    assert got[b"sparse"].size == wanted[b"sparse"].size


def test_squashfs(store: ImageStore, tmp_path: Path) -> None:
    wanted, got = round_trip(store, tmp_path, "out.squashfs")
    del wanted[b"dev/socket"]
    assert wanted.keys() == got.keys()
    for path, entry in nameless(wanted).items():
        back = nameless(got)[path]
        kept = {key: value for key, value in entry.xattrs.items() if not key.startswith("system.")}
        second = max(0, entry.mtime_ns // 10**9)  # squashfs counts whole seconds from 1970
        assert back._replace(chunks=(), extents=None) == entry._replace(
            xattrs=kept, mtime_ns=second * 10**9, chunks=(), extents=None
        )
        if entry.extents is None:
            assert back.chunks == entry.chunks
    export_directory(store, "again", tmp_path / "back")
    assert (tmp_path / "back/sparse").read_bytes() == (tmp_path / "nasty/sparse").read_bytes()


def test_iso_of_a_root_and_of_a_live_medium(store: ImageStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    os.chown(root / "etc/passwd", 12, 34)
    os.chmod(root / "etc/passwd", 0o640)
    (root / "sh").symlink_to("etc/passwd")
    iso(root, tmp_path / "root.iso")
    import_image(store, "iso", tmp_path / "root.iso")
    found = entries(store, "iso")
    assert found[b"etc/passwd"].mode == 0o640 and found[b"etc/passwd"].uid == 12
    assert found[b"sh"].target == b"etc/passwd"
    live = tmp_path / "live"
    (live / "live").mkdir(parents=True)
    export_image(store, "nasty", live / "live/filesystem.squashfs")
    iso(live, tmp_path / "live.iso")
    import_image(store, "live", tmp_path / "live.iso")
    assert b"a/suid" in entries(store, "live")


def iso(folder: Path, target: Path) -> None:
    form = ["--format=iso9660", "--options=rockridge=strict"]
    command = ["bsdtar", *form, "-cf", str(target), "-C", str(folder), "."]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.zst", "x.oci", "x.squashfs"])
def test_nobody_else_reads_the_password_hashes(store: ImageStore, tmp_path: Path, name: str) -> None:
    export_image(store, "nasty", tmp_path / name)
    assert not (tmp_path / name).stat().st_mode & 0o077


def test_the_folder_of_a_tar_is_made(store: ImageStore, tmp_path: Path) -> None:
    export_image(store, "nasty", tmp_path / "new/deep/x.tar")
    assert (tmp_path / "new/deep/x.tar").stat().st_size > 0


def test_what_cannot_be_exported(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no kernel in /boot, so it cannot boot"):
        export_image(store, "nasty", tmp_path / "x.qcow2")
    with pytest.raises(BadInput, match="no form of export"):
        export_image(store, "nasty", tmp_path / "x", "zip")
    with pytest.raises(BadInput, match=r"'.vmdk' is no form of export"):
        export_image(store, "nasty", tmp_path / "x.vmdk")
    (tmp_path / "there.tar").touch()
    for name in ("there.tar", "nasty"):
        with pytest.raises(ImageConflict):
            export_image(store, "nasty", tmp_path / name)
    with pytest.raises(ImageNotFound):
        export_image(store, "other", tmp_path / "x.tar")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") or path.name == "x.tar"]


def test_disks(store: ImageStore, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\0" * 510 + b"\x55\xaa" + os.urandom(3 << 20) + bytes(60 << 20))
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(tmp_path / "nasty/etc"), str(disk)], check=True)
    first = import_image(store, "disk", disk)
    assert first.kind == "disk"
    with pytest.raises(BadInput, match="raw or qcow2"):
        export_image(store, "disk", tmp_path / "x.tar")
    for name in ("out.raw", "out.qcow2"):
        assert export_image(store, "disk", tmp_path / name)[0] == name[4:]
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        again = import_image(store, "disk", tmp_path / name)
        assert list(store.manifest(again.id).entries()) == list(store.manifest(first.id).entries())
    assert (tmp_path / "out.raw").stat().st_blocks * 512 < 30 << 20
    with pytest.raises(BadInput, match=r"^disk@3 is a disk image: only images of files can be edited$"):
        edit_image(store, "disk", ["true"], folder=tmp_path)
    with pytest.raises(ImageConflict, match=r"^nasty@1 is an image of files, this is one of a disk: give it"):
        import_image(store, "nasty", disk)
    with pytest.raises(ImageConflict, match=r"^disk@3 is an image of a disk, this is one of files: give it"):
        import_image(store, "disk", tmp_path / "nasty")
    hurt(store, "disk")
    with pytest.raises(ImageError, match=r"^disk@3: .* is damaged in .*\.pack; run `bootsrv"):
        export_image(store, "disk", tmp_path / "hurt.raw")
    assert not (tmp_path / "hurt.raw").exists()


def hurt(store: ImageStore, ref: str) -> None:
    """Some bytes in the middle of every frame that the version is in."""
    source = store.source(ref)
    ids = {chunk.id for chunk in store.manifest(ref).chunks()}
    for frame in {source.locator.frame(source.locator.find(id).frame) for id in ids}:
        pack = store.packs / f"{frame.pack}{SUFFIX}"
        data, middle = bytearray(pack.read_bytes()), frame.offset + frame.stored // 2
        data[middle : middle + 8] = bytes(byte ^ 255 for byte in data[middle : middle + 8])
        pack.chmod(0o640)
        pack.write_bytes(data)


@pytest.mark.parametrize("name", ["x", "x.tar", "x.oci", "x.squashfs"])
def test_damage_is_told_by_its_file_and_nothing_stays(store: ImageStore, tmp_path: Path, name: str) -> None:
    pack = next(store.packs.iterdir())
    whole = pack.read_bytes()
    hurt(store, "nasty")
    form = "oci" if name == "x.oci" else None
    target = tmp_path / "new" / name
    if name == "x":  # what is there stays
        (tmp_path / "new").mkdir()
        (tmp_path / "new/mine").touch()
    if name == "x.squashfs":
        (tmp_path / "new").mkdir()
    with pytest.raises(ImageError) as caught:
        export_image(store, "nasty", target, form)
    named = re.fullmatch(
        rf"nasty@1: /(.+?)( \(and \d+ more with the same bytes\))? is damaged in {pack}; "
        "run `bootsrv image verify --repair`, then import nasty again from its source", str(caught.value),
    )  # fmt: skip
    assert named and (tmp_path / "nasty" / named[1]).is_file()
    lost = {problem.text for problem in store.verify()}
    assert f"nasty@1: /{named[1]} has lost chunks" in lost
    assert not target.exists()
    assert [path.name for path in (tmp_path / "new").glob("*")] == (["mine"] if name == "x" else [])
    pack.write_bytes(whole)
    export_image(store, "nasty", target, form)
    assert target.exists()


def test_an_empty_directory_stays_one(store: ImageStore, tmp_path: Path) -> None:
    hurt(store, "nasty")
    (tmp_path / "mine").mkdir()
    for form in ("directory", "oci"):
        with pytest.raises(ImageError, match="is damaged in"):
            export_image(store, "nasty", tmp_path / "mine", form)
        assert not list((tmp_path / "mine").iterdir())
        with pytest.raises(ImageError, match="is damaged in"):
            export_image(store, "nasty", tmp_path / "deep/er", form)
        assert not (tmp_path / "deep").exists()
