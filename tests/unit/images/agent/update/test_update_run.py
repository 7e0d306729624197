"""A machine becomes the next version: only what differs moves, the machine's own stays, a break is
completed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from imagestore import noise
from nastytree import build, snapshot
from pushhouse import House, comparable

from images.errors import BadInput

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def lay(top: Path, files: dict[str, bytes | None]) -> Path:
    """Files by path; None makes a directory."""
    for name, data in files.items():
        path = top / name
        if data is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return top


OLD = {
    "usr/lib/libfoo.so.1": noise(90_000, 1), "usr/bin/foo": b"old program", "etc/foo.conf": b"a=1\n",
    "usr/share/doc/foo": b"text", "boot/vmlinuz-1": noise(50_000, 2), "etc/shadow": b"root:old:1\nfoo:x:1\n",
    "var/lib/gone/file": b"x", "etc/hostname": b"image\n",
}  # fmt: skip
NEW = {
    "usr/lib/libfoo.so.1": noise(90_000, 1)[:60_000] + noise(40_000, 3), "usr/bin/foo": b"new program",
    "usr/bin/bar": b"added", "etc/foo.conf": b"a=2\n", "usr/share/doc/foo": b"text",
    "boot/vmlinuz-2": noise(50_000, 4), "etc/shadow": b"root:old:1\nfoo:x:1\nbar:y:2\n",
    "etc/hostname": b"image2\n",
}  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path, lay(tmp_path / "one", OLD), lay(tmp_path / "two", NEW))
    (made.root / "etc/hostname").write_text("n1\n")
    (made.root / "etc/shadow").write_bytes(b"root:mine:1\nfoo:x:1\nlocal:z:3\n")
    return made


def test_changes_arrive_and_the_machine_stays_itself(house: House) -> None:
    report = house.push()
    root = house.root
    assert (root / "usr/bin/foo").read_bytes() == b"new program" and (root / "usr/bin/bar").exists()
    assert (root / "usr/lib/libfoo.so.1").read_bytes() == NEW["usr/lib/libfoo.so.1"]
    assert not (root / "boot/vmlinuz-1").exists() and not (root / "var/lib/gone").exists()
    assert (root / "etc/hostname").read_text() == "n1\n"
    assert (root / "etc/shadow").read_bytes() == b"root:mine:1\nfoo:x:1\nbar:y:2\nlocal:z:3\n"
    assert report["removed"] == 5 and report["drift"] == 0
    assert report["local"] >= 20_000, "what the old library had in common was read here"
    assert not house.state.journal.exists() and not house.state.stage.exists()


def test_nothing_changed_moves_nothing(house: House) -> None:
    house.push()
    house.line.sent = 0
    for _ in range(2):
        report = house.push()
        assert (report["made"], report["attributes"], report["removed"], house.line.sent) == (0, 0, 0, 0)


def test_drift_is_listed_and_repaired(house: House) -> None:
    house.push()
    (house.root / "usr/bin/foo").write_bytes(b"NEW program")
    (house.root / "usr/bin/bar").unlink()
    (house.root / "etc/foo.conf").chmod(0o600)
    found = house.update().drift()
    assert sorted(map(tuple, found["files"])) == [
        ("/etc/foo.conf", "attributes"), ("/usr/bin/bar", "missing"), ("/usr/bin/foo", "content"),
    ]  # fmt: skip
    assert house.push()["made"] == 2
    assert house.update().drift()["drift"] == 0


def test_a_change_that_keeps_size_and_time_shows_with_checksum(house: House) -> None:
    house.push()
    house.push()
    path = house.root / "usr/bin/foo"
    before = path.stat()
    path.write_bytes(b"bad program")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert house.update(checksum=True).drift()["drift"] == 1
    assert house.update().drift()["drift"] == 1, "the change time cannot be set back"


def test_lists_and_overrides(house: House) -> None:
    own = house.root / "etc/bootsrv"
    lay(own / "overrides", {"etc/foo.conf": b"a=mine\n", "opt/site/tool": b"ours"})
    (own / "push.exclude").write_text("# ours\n/usr/bin/foo\n/var/lib/gone/\n/opt/sit\n/opt/x/*\n")
    assert house.push()["idle"] == ["/opt/sit", "/opt/x/*"], "what keeps nothing is told, of what is not ours"
    assert (house.root / "etc/foo.conf").read_bytes() == b"a=mine\n"
    assert (house.root / "opt/site/tool").read_bytes() == b"ours"
    assert (house.root / "usr/bin/foo").read_bytes() == b"old program"
    assert (house.root / "var/lib/gone/file").exists(), "a directory is left alone with what lies in it"
    assert house.update().drift()["drift"] == 0
    (own / "overrides/etc/foo.conf").write_bytes(b"a=other\n")
    assert house.push()["made"] == 1
    assert (house.root / "etc/foo.conf").read_bytes() == b"a=other\n"


def test_an_initramfs_keeps_what_the_machine_needs(tmp_path: Path) -> None:
    one = lay(tmp_path / "one", {"etc": None, "boot/initrd.img-1": noise(5003, 7)})
    house = House(tmp_path, one, lay(tmp_path / "two", {"etc": None, "boot/initrd.img-2": noise(70_001, 8)}))
    extra = noise(512, 9)
    lay(house.root, {"etc/bootsrv/initramfs-extra.cpio": extra})
    (house.root / "boot/initrd.img-1").write_bytes(noise(5003, 7) + b"\0" + extra)
    assert house.push()["drift"] == 0
    assert (house.root / "boot/initrd.img-2").read_bytes() == noise(70_001, 8) + bytes(3) + extra
    assert not (house.root / "boot/initrd.img-1").exists()
    assert house.push()["made"] == 0


def test_files_that_are_not_the_images_are_never_removed(house: House) -> None:
    (house.root / "var/lib/gone/mine").write_bytes(b"keep")
    house.push()
    assert (house.root / "var/lib/gone/mine").read_bytes() == b"keep"
    assert not (house.root / "var/lib/gone/file").exists()


def test_a_directory_with_foreign_files_does_not_give_way(tmp_path: Path) -> None:
    one, two = lay(tmp_path / "one", {"etc": None, "srv/x/a": b"1"}), lay(tmp_path / "two", {"etc": None})
    house = House(tmp_path, one, lay(two, {"srv/x": b"file"}))
    (house.root / "srv/x/mine").write_bytes(b"keep")
    with pytest.raises(BadInput, match="/srv/x/mine"):
        house.push()
    assert (house.root / "srv/x/a").read_bytes() == b"1"
    (house.root / "srv/x/mine").unlink()
    house.push()
    assert (house.root / "srv/x").read_bytes() == b"file"


def test_a_cut_line_changes_nothing_and_the_next_run_completes(house: House) -> None:
    before = snapshot(house.root)
    house.line.fail_after = 0
    with pytest.raises(ConnectionError):
        house.push()
    assert comparable(snapshot(house.root)).keys() == comparable(before).keys()
    assert (house.root / "usr/bin/foo").read_bytes() == b"old program"
    house.line.fail_after = None
    assert house.push()["drift"] == 0


def test_a_nasty_tree(tmp_path: Path) -> None:
    """Every kind of name and attribute, as it comes, as it changes kind, and as it goes."""
    nasty, plain = tmp_path / "nasty", tmp_path / "plain"
    nasty.mkdir()
    build(nasty)
    lay(
        plain, {"a": b"a file where the other has a directory", "big/inside": b"and the reverse", "etc": None}
    )
    os.mkdir(os.fsencode(plain) + b"/\xff\xfe\x80")
    os.symlink("a", plain / "deep")
    for number, (first, second) in enumerate(((plain, nasty), (nasty, plain))):
        folder = tmp_path / str(number)
        folder.mkdir()
        house = House(folder, first, second)
        assert house.push()["drift"] == 0
        seen, wanted = comparable(snapshot(house.root)), comparable(snapshot(second))
        for rows in (seen, wanted):  # left alone by every update
            for name in [path for path in rows if path.startswith((b"dev", b"etc/hostname"))]:
                del rows[name]
        assert seen == wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a file immutable")
def test_a_name_that_cannot_be_switched_is_told_with_its_path(house: House) -> None:
    """It is met under an open directory, by its last part alone."""
    before = comparable(snapshot(house.root))
    subprocess.run(["chattr", "+i", house.root / "usr/bin/foo"], check=True)
    try:
        with pytest.raises(OSError, match=r"not permitted: '/usr/bin/foo'"):
            house.push()
    finally:
        subprocess.run(["chattr", "-i", house.root / "usr/bin/foo"], check=True)
    assert comparable(snapshot(house.root)) == before
