"""Trees from real ISOs and directories: recognised, copied, compared, served by their lists; nothing
escapes."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from bootsrv.signing import ArchiveKey
from bootsrv.trees import updates
from bootsrv.trees.importing import import_tree
from bootsrv.trees.media import pour_tar
from bootsrv.trees.shelf import Shelf
from bootsrv.trees.source import TreeSource
from bootsrv.trees.writer import TreeWriter
from images.errors import ImageError

KERNEL, INITRD = random.Random(1).randbytes(200_003), random.Random(2).randbytes(300_007)


def fedora(home: Path) -> Path:
    """A directory as Fedora's mirrors have it."""
    root = home / "fedora"
    (root / "images/pxeboot").mkdir(parents=True)
    (root / "Packages/b").mkdir(parents=True)
    (root / "images/pxeboot/vmlinuz").write_bytes(KERNEL)
    (root / "images/pxeboot/initrd.img").write_bytes(INITRD)
    (root / "images/install.img").write_bytes(b"stage2")
    (root / "Packages/b/bash-5.2.26-4.fc41.x86_64.rpm").write_bytes(b"rpm")
    kernel, initrd = (hashlib.sha256(data).hexdigest() for data in (KERNEL, INITRD))
    (root / ".treeinfo").write_text(
        "[general]\nfamily = Fedora\nversion = 41\narch = x86_64\n[stage2]\nmainimage = images/install.img\n"
        "[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n"
        f"[checksums]\nimages/pxeboot/vmlinuz = sha256:{kernel}\n"
        f"images/pxeboot/initrd.img = sha256:{initrd}\n"
    )
    return root


def debian_cd(home: Path) -> Path:
    """A directory as Debian's CDs have it, links and md5sum.txt included."""
    root = home / "cd"
    for folder in (".disk", "install.amd", "dists/bookworm", "pool/main"):
        (root / folder).mkdir(parents=True)
    (root / ".disk/info").write_text('Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 2024\n')
    (root / "install.amd/vmlinuz").write_bytes(KERNEL)
    (root / "install.amd/initrd.gz").write_bytes(INITRD)
    (root / "dists/bookworm/Release").write_text("Codename: bookworm\n")
    (root / "dists/stable").symlink_to("bookworm")
    (root / "debian").symlink_to(".")
    (root / "pool/main/a name with spaces, ünïcode.deb").write_bytes(b"deb")
    lines = [
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  ./{path.relative_to(root)}\n"
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.resolve() == path
    ]
    (root / "md5sum.txt").write_text("".join(lines))
    return root


def iso(root: Path, *options: str) -> Path:
    made = root.with_suffix(".iso")
    command = ["xorriso", "-as", "mkisofs", "-quiet", *options, "-o", str(made), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "trees")


def read(shelf: Shelf, tree: str, name: str) -> bytes | None:
    entry = TreeSource(shelf).entry(tree, name)
    if entry is None:
        return None
    with os.fdopen(entry.open(), "rb") as file:
        return file.read()


class TestDirectories:
    def test_a_mirror_of_fedora(self, tmp_path: Path, shelf: Shelf) -> None:
        made = import_tree(shelf, str(fedora(tmp_path)), "f41", clock=lambda: 5.0)
        assert (made.facts.target, made.facts.root, made.checked) == ("fedora41", "images/install.img", 2)
        assert (made.files, made.imported, made.place) == (5, 5.0, "/tree/f41/")
        assert read(shelf, "f41", made.facts.kernel) == KERNEL
        assert read(shelf, "f41", "Packages/b/bash-5.2.26-4.fc41.x86_64.rpm") == b"rpm"
        assert shelf.get("f41") == made
        assert shelf.names() == ["f41"]
        assert list(shelf.verify("f41")) == []
        assert (shelf.directory("f41") / "images/install.img").read_bytes() == b"stage2"

    def test_one_wrong_byte_is_found(self, tmp_path: Path, shelf: Shelf) -> None:
        root = fedora(tmp_path)
        (root / "images/pxeboot/vmlinuz").write_bytes(KERNEL[:-1] + b"\0")
        with pytest.raises(Invalid, match=r"damaged: images/pxeboot/vmlinuz differ"):
            import_tree(shelf, str(root), "f41")
        assert shelf.names() == []
        assert list(shelf.root.iterdir()) == []

    def test_names_are_taken_once(self, tmp_path: Path, shelf: Shelf) -> None:
        root = fedora(tmp_path)
        import_tree(shelf, str(root), "f41")
        with pytest.raises(Conflict, match="--replace"):
            import_tree(shelf, str(root), "f41")
        (root / "extra").write_text("new")
        import_tree(shelf, str(root), "f41", replace=True)
        assert read(shelf, "f41", "extra") == b"new"
        for name in ("", "../x", "A", ".x", "x/y"):
            with pytest.raises(Invalid):
                import_tree(shelf, str(root), name)

    def test_links_that_lead_out_are_left_out(self, tmp_path: Path, shelf: Shelf) -> None:
        root = fedora(tmp_path)
        (tmp_path / "secret").write_text("secret")
        (root / "out").symlink_to("../secret")
        (root / "absolute").symlink_to(tmp_path / "secret")
        (root / "deep").symlink_to("images/../../secret")
        (root / "nothing").symlink_to("nowhere")
        (root / "loop").symlink_to("loop")
        os.mkfifo(root / "fifo")
        made = import_tree(shelf, str(root), "f41")
        assert any("were left out" in note for note in made.notes)
        for name in ("out", "absolute", "deep", "nothing", "loop", "fifo"):
            assert read(shelf, "f41", name) is None
            assert not (shelf.directory("f41") / name).is_symlink()

    def test_not_a_medium(self, tmp_path: Path, shelf: Shelf) -> None:
        (tmp_path / "some/deep").mkdir(parents=True)
        with pytest.raises(Invalid, match="no installation medium that is known"):
            import_tree(shelf, str(tmp_path / "some"), "x")
        (tmp_path / "text").write_text("text")
        with pytest.raises(Invalid, match="neither an ISO 9660 image nor a directory"):
            import_tree(shelf, str(tmp_path / "text"), "x")
        with pytest.raises(Invalid, match="no such file"):
            import_tree(shelf, str(tmp_path / "none"), "x")
        with pytest.raises(Invalid, match="debian-11, debian-12, debian-13"):
            import_tree(shelf, "debian-3", "x")


class TestIsos:
    @pytest.mark.parametrize(
        "options", [("-R",), ("-R", "-J"), ("-R", "-J", "-joliet-long", "-iso-level", "3")]
    )
    def test_a_debian_cd(self, tmp_path: Path, shelf: Shelf, options: tuple[str, ...]) -> None:
        made = import_tree(shelf, str(iso(debian_cd(tmp_path), *options)), "cd")
        assert made.facts.target == "debian12"
        assert made.checked == 5
        assert read(shelf, "cd", "install.amd/vmlinuz") == KERNEL
        assert read(shelf, "cd", "dists/stable/Release") == b"Codename: bookworm\n"
        assert read(shelf, "cd", "debian/dists/stable/Release") == b"Codename: bookworm\n"
        assert read(shelf, "cd", "pool/main/a name with spaces, ünïcode.deb") == b"deb"
        assert "CD only" in made.notes[0]
        assert list(shelf.verify("cd")) == []

    def test_a_damaged_cd(self, tmp_path: Path, shelf: Shelf) -> None:
        made = iso(debian_cd(tmp_path), "-R")
        data = bytearray(made.read_bytes())
        place = data.index(KERNEL[:64])
        data[place + 5] ^= 1
        made.write_bytes(data)
        with pytest.raises(Invalid, match=r"damaged: install\.amd/vmlinuz"):
            import_tree(shelf, str(made), "cd")

    def test_a_cut_cd(self, tmp_path: Path, shelf: Shelf) -> None:
        made = iso(debian_cd(tmp_path), "-R")
        os.truncate(made, made.stat().st_size // 2)
        with pytest.raises((BootsrvError, ImageError)):
            import_tree(shelf, str(made), "cd")
        assert shelf.names() == []

    def test_ubuntu_keeps_the_iso_for_its_installer(self, tmp_path: Path, shelf: Shelf) -> None:
        root = tmp_path / "ubuntu"
        (root / "casper").mkdir(parents=True)
        (root / ".disk").mkdir()
        (root / ".disk/info").write_text('Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release amd64\n')
        (root / "casper/vmlinuz").write_bytes(KERNEL)
        (root / "casper/initrd").write_bytes(INITRD)
        (root / "casper/big.squashfs").write_bytes(bytes(500_000))
        source = iso(root, "-R", "-J")
        made = import_tree(shelf, str(source), "noble")
        assert (made.facts.target, made.iso) == ("ubuntu24.04", "medium.iso")
        assert read(shelf, "noble", "medium.iso") == source.read_bytes()
        assert read(shelf, "noble", "casper/initrd") == INITRD
        assert read(shelf, "noble", "casper/big.squashfs") is None
        assert "import the ISO file" in import_tree(shelf, str(root), "dir").notes[0]


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    made.seek(0)
    return made


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 4) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size if kind == tarfile.REGTYPE else 0
    return info


class TestHostileMedia:
    """What no ISO tool writes is poured in as a tar, which is how an ISO arrives."""

    @pytest.mark.parametrize(
        "name", ["../evil", "/evil", "a/../../evil", "..", "a/..", "new\nline", "x" * 2000]
    )
    def test_names_that_lead_out(self, tmp_path: Path, name: str) -> None:
        root = tmp_path / "tree/files"
        root.mkdir(parents=True)
        with pytest.raises(Invalid):
            pour_tar(tar_of((member(name), b"evil")), TreeWriter(root, {}), lambda name: True)
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["files", "tree"]

    @pytest.mark.parametrize("target", ["..", "../..", "/", "/etc", "sub/../.."])
    def test_files_through_links(self, tmp_path: Path, target: str) -> None:
        root = tmp_path / "tree/files"
        root.mkdir(parents=True)
        stream = tar_of((member("door", tarfile.SYMTYPE, target), b""), (member("door/evil"), b"evil"))
        writer = TreeWriter(root, {})
        pour_tar(stream, writer, lambda name: True)
        writer.finish()
        assert [p.relative_to(tmp_path) for p in tmp_path.rglob("evil")] == [Path("tree/files/door/evil")]
        assert not any(p.is_symlink() for p in tmp_path.rglob("*"))

    def test_a_link_and_then_files_below_it(self, tmp_path: Path) -> None:
        (tmp_path / "files").mkdir()
        stream = tar_of(
            (member("real/a"), b"good"),
            (member("door", tarfile.SYMTYPE, "real"), b""),
            (member("door/evil"), b"evil"),
        )
        with pytest.raises(Invalid, match="as a link and as a directory"):
            pour_tar(stream, TreeWriter(tmp_path / "files", {}), lambda name: True)

    def test_devices_and_twice_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "files").mkdir()
        writer = TreeWriter(tmp_path / "files", {})
        pour_tar(
            tar_of((member("sda", tarfile.BLKTYPE), b""), (member("a"), b"good")), writer, lambda name: True
        )
        assert writer.left_out == ["sda"]
        with pytest.raises(Invalid, match="twice"):
            pour_tar(tar_of((member("./a"), b"evil")), writer, lambda name: True)
        assert (tmp_path / "files/a").read_bytes() == b"good"
        with pytest.raises(Invalid, match="as a file and as a directory"):
            pour_tar(tar_of((member("a/b"), b"evil")), writer, lambda name: True)

    def test_hard_links_are_links(self, tmp_path: Path) -> None:
        (tmp_path / "files").mkdir()
        writer = TreeWriter(tmp_path / "files", {})
        pour_tar(tar_of((member("a/one"), b"good"), (member("b/two", tarfile.LNKTYPE, "a/one"), b"")), writer,
                 lambda name: True)  # fmt: skip
        assert writer.finish().find("b/two") == "a/one"
        assert (tmp_path / "files/b/two").read_bytes() == b"good"


class TestShelf:
    def test_what_changed_is_told(self, tmp_path: Path, shelf: Shelf) -> None:
        import_tree(shelf, str(fedora(tmp_path)), "f41")
        home = shelf.directory("f41")
        (home / "images/install.img").write_bytes(b"stage3")
        (home / "images/pxeboot/initrd.img").unlink()
        (home / "images/pxeboot/vmlinuz").write_bytes(KERNEL + b"\0")
        found = {one.name: one.text for one in shelf.verify("f41")}
        assert found == {
            "images/install.img": "has other contents",
            "images/pxeboot/initrd.img": "is missing",
            "images/pxeboot/vmlinuz": f"has {len(KERNEL) + 1} bytes instead of {len(KERNEL)}",
        }

    def test_only_listed_files_are_served(self, tmp_path: Path, shelf: Shelf) -> None:
        import_tree(shelf, str(fedora(tmp_path)), "f41")
        (shelf.directory("f41") / "added").write_text("added later")
        for name in ("added", "../tree.json", "", "images", "../../../etc/passwd", "/etc/passwd"):
            assert read(shelf, "f41", name) is None
        assert read(shelf, "..", "f41/tree.json") is None
        (shelf.directory("f41") / "images/install.img").unlink()
        (shelf.directory("f41") / "images/install.img").symlink_to("/etc/passwd")
        with pytest.raises(OSError):
            read(shelf, "f41", "images/install.img")

    def test_tftp_names(self, tmp_path: Path, shelf: Shelf) -> None:
        import_tree(shelf, str(fedora(tmp_path)), "f41")
        source = TreeSource(shelf)
        assert (
            source.find("tree/f41/images/install.img", "10.0.0.1")
            == shelf.directory("f41") / "images/install.img"
        )
        assert source.find("images/install.img", "10.0.0.1") is None
        assert source.find("tree/f41", "10.0.0.1") is None

    def test_removing(self, tmp_path: Path, shelf: Shelf) -> None:
        import_tree(shelf, str(fedora(tmp_path)), "f41")
        assert read(shelf, "f41", "images/install.img") == b"stage2"
        shelf.remove("f41")
        assert read(shelf, "f41", "images/install.img") is None
        assert list(shelf.root.iterdir()) == []
        with pytest.raises(NotFound):
            shelf.remove("f41")

    def test_a_damaged_record_hides_no_other_tree(self, tmp_path: Path, shelf: Shelf) -> None:
        import_tree(shelf, str(fedora(tmp_path)), "f41")
        import_tree(shelf, str(debian_cd(tmp_path)), "cd")
        (shelf.root / "cd/tree.json").write_text("{")
        found, wrong = shelf.records()
        assert [one.name for one in found] == ["f41"]
        assert "import the tree again" in wrong[0]
        (shelf.root / "f41/index.tsv").write_text("nonsense\n")
        with pytest.raises(BootsrvError, match="damaged"):
            read(shelf, "f41", "images/install.img")

    def test_what_a_killed_import_left_is_tidied(self, tmp_path: Path, shelf: Shelf) -> None:
        shelf.root.mkdir()
        (shelf.root / ".new-999999999-x/files").mkdir(parents=True)
        import_tree(shelf, str(fedora(tmp_path)), "f41")
        assert [p.name for p in shelf.root.iterdir()] == ["f41"]


def test_updated_packages_of_another_system_are_refused_by_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "trees")
    import_tree(shelf, str(fedora(tmp_path)), "f")
    package = tmp_path / "tool_1.0_all.deb"
    package.write_bytes(b"!<arch>\ndebian-binary")
    with pytest.raises(Invalid, match=r"tool_1.0_all.deb is for another system: f takes .rpm packages"):
        updates.add(shelf, "f", [package], ArchiveKey(tmp_path / "key"))
    assert updates.found(shelf, "f") is None
