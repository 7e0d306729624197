"""Which of a machine's file systems a capture by the imager finds: what its fstab lists, and a btrfs as
distributions lay it out, mounted by the real kernel in a mount namespace that vanishes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from images.agent.capture import roots
from images.agent.capture.roots import Part, parts

REPOSITORY = Path(__file__).parents[5]
# Its disks are the images that are named, and no others: blkid would find this machine's own.
START = """
import sys
from pathlib import Path
from images.agent.capture import roots
from images.agent.disk import unmount_all
from images.blocks.loop import Loop
from images.errors import BadInput
home = Path(sys.argv[1])
roots.TARGET = home / "capture"
roots.find = lambda say, key: []
def disk(name):
    file = (home / name).open("r+b")
    return Loop(file.fileno(), 0, (home / name).stat().st_size)
"""


def inside(tmp_path: Path, body: str) -> str:
    """Runs it as root in its own mount namespace; what it printed."""
    command = ["unshare", "--mount", sys.executable, "-c", START + textwrap.dedent(body), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def system(tree: Path, fstab: str) -> None:
    for name, text in (("fstab", fstab), ("os-release", "ID=x\n"), ("passwd", "root:x:0:0::/:/bin/sh\n")):
        (tree / "etc").mkdir(parents=True, exist_ok=True)
        (tree / "etc" / name).write_text(text)


def test_fstab_adds_what_is_local() -> None:
    text = r"""
# comment
UUID=a  /         ext4  defaults 0 1
UUID=b  /boot     ext4  defaults 0 2
UUID=c  /boot/efi vfat  umask=0077 0 1
UUID=d  none      swap  sw 0 0
/dev/vg/home /home ext4 defaults 0 2
LABEL=v /var/     xfs   defaults 0 2
UUID=e  /srv      ext4  noauto 0 2
UUID=f  /opt/our\040tools auto nofail 0 2
UUID=g  /usr/local btrfs  noatime,subvol=@/usr/local,compress=zstd 0 0
server:/x /opt    nfs   defaults 0 0
"""
    assert parts(text) == [
        Part("UUID=b", "/boot", "ext4"), Part("/dev/vg/home", "/home", "ext4"),
        Part("UUID=f", "/opt/our tools", "auto"),
        Part("UUID=g", "/usr/local", "btrfs", "subvol=@/usr/local"), Part("LABEL=v", "/var", "xfs"),
    ]  # fmt: skip


def test_what_a_device_lies_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume on an encrypted array of two disks' partitions, as sysfs shows it."""
    numbers, block = tmp_path / "dev", tmp_path / "block"
    for name in ("vda/vda2", "vdb/vdb2"):
        (block / name).mkdir(parents=True)
        (block / name / "partition").touch()
    above: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("md0", ("vda/vda2", "vdb/vdb2")), ("dm-0", ("md0",)), ("dm-1", ("dm-0",)), ("vdc", ()),
    )  # fmt: skip
    for name, lower in above:
        (block / name / "slaves").mkdir(parents=True)
        for one in lower:
            (block / name / "slaves" / one.rpartition("/")[2]).symlink_to(block / one)
    numbers.mkdir()
    (numbers / "1:3").symlink_to(block / "dm-1")
    (numbers / "1:5").symlink_to(block / "vda/vda2")
    monkeypatch.setattr(roots, "SYS_DEV", numbers)
    assert roots.below(Path("/dev/null")) == {"dm-1", "dm-0", "md0", "vda2", "vdb2", "vda", "vdb"}
    assert roots.below(Path("/dev/zero")) == {"vda2", "vda"}


@pytest.mark.netns
def test_of_two_systems_that_on_the_nodes_disk_is_meant(tmp_path: Path) -> None:
    for name in ("old", "new"):
        system(tmp_path / name, "")
        (tmp_path / name / "etc/which").write_text(name)
        command = ["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / name, tmp_path / f"{name}.raw", "16M"]
        subprocess.run(command, check=True)
    said = inside(
        tmp_path,
        """
        with disk("old.raw") as old, disk("new.raw") as new:
            roots.candidates = lambda: [(old.path, "ext4"), (new.path, "ext4")]
            roots.find = lambda say, key: ["/dev/vda3"]
            for wanted in (None, "/dev/vdz", new.path):
                try:
                    print((roots.mount_root(lambda text: None, None, wanted) / "etc/which").read_text())
                except BadInput as error:
                    print("refused:", error)
            unmount_all(roots.TARGET)
        """,
    )
    first, second, found = said.splitlines()
    assert first == second and first.startswith("refused: one system is needed on this")
    assert "/dev/vda3" in first and "`bootsrv node set --disk`" in first
    assert found == "new"


@pytest.mark.netns
@pytest.mark.parametrize("name", ["@", "root", "@rootfs"])
def test_a_root_in_a_subvolume_with_its_other_subvolumes(tmp_path: Path, name: str) -> None:
    image = tmp_path / "btrfs.raw"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    said = inside(
        tmp_path,
        f"""
        import subprocess
        with disk("btrfs.raw") as loop:
            top = home / "top"
            top.mkdir()
            subprocess.run(["mount", "-t", "btrfs", loop.path, top], check=True)
            for name in ("{name}", "var", "home"):
                subprocess.run(["btrfs", "-q", "subvolume", "create", top / name], check=True)
            root = top / "{name}"
            for folder in ("etc", "var", "home"):
                (root / folder).mkdir()
            (root / "etc/os-release").write_text("ID=x")
            (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh")
            rows = ("/ btrfs subvol={name}", "/var btrfs noatime,subvol=/var", "/home btrfs subvol=home")
            (root / "etc/fstab").write_text("".join(f"{{loop.path}} {{row}} 0 0\\n" for row in rows))
            (top / "var/which").write_text("var")
            (top / "home/which").write_text("home")
            subprocess.run(["umount", top], check=True)
            roots.candidates = lambda: [(loop.path, "btrfs")]
            found = roots.mount_root(print)
            print((found / "var/which").read_text(), (found / "home/which").read_text())
            try:
                (found / "etc/new").touch()
            except OSError as error:
                print(error.strerror)
            unmount_all(found)
        """,
    )
    assert f"(btrfs, subvol={name}) is this machine's system" in said
    assert said.splitlines()[-2:] == ["var home", "Read-only file system"]


@pytest.mark.netns
def test_a_home_that_cannot_be_mounted_is_named_and_a_part_of_the_system_ends_it(tmp_path: Path) -> None:
    for place in ("/home", "/var"):
        tree, image = tmp_path / place[1:], tmp_path / f"{place[1:]}.raw"
        system(tree, f"UUID=nowhere {place} ext4 defaults 0 2\n")
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, image, "16M"], check=True)
    said = inside(
        tmp_path,
        """
        for name in ("home.raw", "var.raw"):
            with disk(name) as loop:
                roots.candidates = lambda: [(loop.path, "ext4")]
                try:
                    roots.mount_root(print)
                except BadInput as error:
                    print("refused:", error)
                unmount_all(roots.TARGET)
        """,
    )
    assert "without /home, which cannot be mounted: " in said
    assert "refused: /var of its fstab cannot be mounted: " in said
