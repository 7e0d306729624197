"""Debian's own netboot installer, from its real package: fetched by apt, recognised, compared; and its RAM
disk trusts an archive of our own once the snippet has run in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from made_packages import deb
from package_house import House

from bootsrv.mirrors import repository
from bootsrv.mirrors.local import RECORD, LocalMirror
from bootsrv.mirrors.stanzas import parse
from bootsrv.signing import ArchiveKey
from bootsrv.trees.importing import import_tree
from bootsrv.trees.index import Index, Item
from bootsrv.trees.shelf import Shelf
from pxe.answers.snippets import find_snippet
from pxe.trees.kernel import HEAD, version

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = Shelf(tmp_path_factory.mktemp("netboot") / "trees")
    import_tree(made, "debian-12", "deb12")
    return made


def test_the_real_package(shelf: Shelf) -> None:
    tree = shelf.get("deb12")
    assert (tree.facts.target, tree.facts.arch, tree.facts.installer) == ("debian12", "x86_64", "preseed")
    assert tree.source.startswith("Debian package debian-installer-12-netboot-amd64_")
    home = shelf.directory("deb12")
    assert (home / tree.facts.initrds[0]).read_bytes()[:2] == b"\x1f\x8b"
    assert shelf.find("deb12", "pxelinux.0") == (home / "debian-installer/amd64/pxelinux.0", home)
    assert list(shelf.verify("deb12")) == []


def test_its_kernel_says_which_modules_it_needs(shelf: Shelf) -> None:
    tree = shelf.get("deb12")
    with (shelf.directory("deb12") / tree.facts.kernel).open("rb") as file:
        found = version(file.read(HEAD))
    assert found.startswith("6.1.")
    assert found.endswith("-amd64")


def own_archive(house: House) -> None:
    """A small archive as `mirror fill` makes one."""
    home = house.data / "mirrors/own"
    files = home / "files"
    (files / "pool").mkdir(parents=True)
    deb(files / "pool", "tool")
    stanzas = list(parse(repository.ftparchive(["packages", "pool"], files).decode()))
    about = {"Origin": "Debian", "Suite": "oldstable", "Codename": "bookworm", "Components": "main"}
    repository.write_indexes(
        files, "bookworm", {"main/binary-amd64": stanzas}, about, ArchiveKey(house.home / "key")
    )
    names = [str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()]
    Index({name: Item((files / name).stat().st_size, "0" * 64) for name in names}).save(home / "index.tsv")
    record = LocalMirror("own", "bookworm", "amd64", (), 1.0, len(names), 1)
    (home / RECORD).write_bytes(msgspec.json.encode(record))


def test_the_installer_trusts_our_archive(shelf: Shelf, tmp_path: Path) -> None:
    """What its retriever does: gpgv with the keyring of its RAM disk, on Release and Release.gpg."""
    disk = tmp_path / "disk"
    disk.mkdir()
    tree = shelf.get("deb12")
    initrd = shelf.directory("deb12") / tree.facts.initrds[0]
    unpack = f"zcat {initrd} | cpio --extract --make-directories --quiet"
    subprocess.run(["sh", "-c", unpack], cwd=disk, check=True, capture_output=True)
    url = "http://127.0.0.1:8080/mirror/own"
    script = find_snippet("archive-key").script({"url": f"{url}/"})
    (disk / "tmp/pre").write_text(script)
    check = (
        f"cd /tmp; for i in Release Release.gpg; do wget -q -O $i {url}/dists/bookworm/$i || exit 9; done; "
        "gpgv --keyring /usr/share/keyrings/archive.gpg --ignore-time-conflict Release.gpg Release"
    )
    house = House(tmp_path / "house")
    try:
        own_archive(house)
        house.start()
        chroot = ["chroot", str(disk), "sh", "-c"]
        subprocess.run(["ln", "-s", "debian-archive-keyring.gpg", f"{disk}/usr/share/keyrings/archive.gpg"])
        assert house.inside([*chroot, check], check=False).returncode == 2, "its own keys do not open it"
        house.inside([*chroot, "sh /tmp/pre"])
        house.inside([*chroot, check])
        hook = "mkdir -p /target; /usr/lib/base-installer.d/05own-archive"
        house.inside([*chroot, hook])
    finally:
        house.close()
    key = (house.data / "mirrors/own/files/archive-key.gpg").read_bytes()
    assert (disk / "target/etc/apt/trusted.gpg.d/own-archive.gpg").read_bytes() == key
