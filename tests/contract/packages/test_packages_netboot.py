"""Debian's own netboot installer, from its real package: fetched by apt, recognised, compared; in its RAM
disk, its debconf reads our answers, and it trusts an archive of our own once the snippet has run."""

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
from pxe.answers.preseed.render import render
from pxe.answers.profile import profile_from
from pxe.answers.snippets import find_snippet
from pxe.answers.start import Start, arguments
from pxe.answers.targets import find_target
from pxe.trees.kernel import HEAD, version

pytestmark = pytest.mark.netns
GOLDEN = Path(__file__).parents[2] / "unit/pxe/answers/golden"


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


def ram_disk(shelf: Shelf, place: Path) -> Path:
    """The installer's, unpacked."""
    place.mkdir()
    tree = shelf.get("deb12")
    initrd = shelf.directory("deb12") / tree.facts.initrds[0]
    unpack = f"zcat {initrd} | cpio --extract --make-directories --quiet"
    subprocess.run(["sh", "-c", unpack], cwd=place, check=True, capture_output=True)
    return place


READ = """#!/bin/sh
. /usr/share/debconf/confmodule
debconf-set-selections /tmp/preseed.cfg && echo read >/tmp/ended
"""
NASTY = [
    "a \"b\" 'c' $d `e` {g} #h ; i | j & k < l > m", r"back\slash \n \t \\ \061", "é ž 漢", "-n", "-e x", "*",
    "~", "%s %d", "$(reboot)", "#hash", r"end\x", "two  blanks",
]  # fmt: skip


def test_its_debconf_holds_every_answer_as_it_was_given(shelf: Shelf, tmp_path: Path) -> None:
    """Its own reader of preseed files, a shell script, with its own database."""
    disk = ram_disk(shelf, tmp_path / "disk")
    lines = (GOLDEN / "debian12.txt").read_text().splitlines()
    for number, text in enumerate(NASTY):
        profile = profile_from({"users": [{"name": "ada", "full_name": text}]})
        found = next(x for x in render(profile, find_target("debian12")).splitlines() if "fullname" in x)
        lines.append(found.replace("passwd/user-fullname", f"passwd/nasty{number}"))
    (disk / "tmp/preseed.cfg").write_text("\n".join(lines) + "\n")
    (disk / "tmp/read").write_text(READ)
    (disk / "tmp/read").chmod(0o755)
    load = "for t in /var/lib/dpkg/info/*.templates; do debconf-loadtemplate debian-installer $t; done"
    inside = f"mkdir -p /var/lib/preseed; {load}; DEBIAN_FRONTEND=noninteractive debconf -o d-i /tmp/read"
    mounts = f"mount -t proc proc {disk}/proc && mount --bind /dev {disk}/dev"
    command = f"{mounts} && exec chroot {disk} sh -c '{inside}'"
    subprocess.run(["unshare", "--mount", "sh", "-c", command], check=True, capture_output=True, timeout=100)
    assert (disk / "tmp/ended").read_text() == "read\n"
    held = {}
    for file in ("questions.dat", "passwords.dat"):
        for block in (disk / "var/lib/cdebconf" / file).read_text().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            held[fields.get("Name", "")] = (fields.get("Value", ""), fields.get("Flags", ""))
    given = {name: rest[0] if rest else "" for _, name, _, *rest in (line.split(" ", 3) for line in lines)}
    assert len(given) > 40 + len(NASTY) / 2
    assert {name: held.get(name) for name in given} == {name: (text, "seen") for name, text in given.items()}


def test_it_gives_our_consoles_to_the_system_that_it_installs(shelf: Shelf, tmp_path: Path) -> None:
    """By its own script, which reads the kernel's command line."""
    base, facts = "http://10.0.0.1:8080", shelf.get("deb12").facts
    start = Start(facts, f"{base}/tree/deb12/", f"{base}/install/x/", "52:54:00:00:00:01", log="10.0.0.1:514",
                  console=("tty0", "ttyS0,115200n8"))  # fmt: skip
    line = arguments(start, profile_from({"hostname": "n1.cluster.test"}), find_target("debian12"))
    disk = ram_disk(shelf, tmp_path / "disk")
    (disk / "user-params.in").write_text(f"{line}\n")
    (disk / "user-params.aliases").touch()
    command = ["chroot", str(disk), "sh", "-c", "TESTSUITE=1 user-params"]
    said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert said.stdout.split() == ["console=tty0", "console=ttyS0,115200n8"], said


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
    disk = ram_disk(shelf, tmp_path / "disk")
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
