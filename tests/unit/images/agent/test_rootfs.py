"""Writing into a foreign root: no link in it leads out of it."""

import os
import stat

import pytest

from images.agent.rootfs import Root


@pytest.fixture
def places(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (inside / "etc").mkdir(parents=True)
    (outside / "victim").write_text("safe")
    return inside, outside


def test_absolute_link_of_a_directory_stays_inside(places):
    inside, outside = places
    (inside / "etc/ssh").symlink_to(outside)
    root = Root(inside)
    with pytest.raises(OSError):
        root.write("/etc/ssh/victim", "changed")
    (inside / str(outside).lstrip("/")).mkdir(parents=True)
    root.write("/etc/ssh/victim", "changed")
    assert (outside / "victim").read_text() == "safe"
    assert (inside / str(outside).lstrip("/") / "victim").read_text() == "changed"


def test_dotdot_link_stays_inside(places):
    inside, outside = places
    (inside / "etc/up").symlink_to("../../../../../../outside")
    root = Root(inside)
    assert root.read("/etc/up/victim") is None
    assert not root.exists("/etc/up/victim") and root.list("/etc/up") == []
    assert root.remove("/etc/up/victim") is False
    assert (outside / "victim").exists()


def test_a_link_in_place_of_the_file_is_replaced_not_followed(places):
    inside, outside = places
    (inside / "etc/hostname").symlink_to(outside / "victim")
    Root(inside).write("/etc/hostname", "n1\n")
    assert (outside / "victim").read_text() == "safe"
    assert (inside / "etc/hostname").read_text() == "n1\n" and not (inside / "etc/hostname").is_symlink()


def test_keeps_owner_and_mode_of_what_was_there(places):
    inside, _ = places
    file = inside / "etc/shadow"
    file.write_text("old")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 0, 42)
    Root(inside).write("/etc/shadow", "new")
    found = file.stat()
    assert stat.S_IMODE(found.st_mode) == 0o640 and file.read_text() == "new"
    assert os.geteuid() or found.st_gid == 42


def test_makes_parents_and_leaves_no_temporary_files(places):
    inside, _ = places
    root = Root(inside)
    root.write("/a/b/c", b"1", 0o600)
    root.link("/a/b/l", "/etc/x")
    root.link("/a/b/l", "../y")
    assert sorted(os.listdir(inside / "a/b")) == ["c", "l"] and os.readlink(inside / "a/b/l") == "../y"
    assert stat.S_IMODE((inside / "a/b/c").stat().st_mode) == 0o600


def test_a_fifo_does_not_hang_us(places):
    inside, _ = places
    os.mkfifo(inside / "etc/fstab")
    assert Root(inside).read("/etc/fstab") == b""
