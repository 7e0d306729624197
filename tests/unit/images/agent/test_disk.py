"""Wiping, partitioning and file systems on an ordinary file, checked with the tools that read them."""

import errno
import os
import struct
import subprocess
from pathlib import Path

import pytest

from images.agent import disk, ground, present
from images.agent.present import Row, difference, table
from images.agent.run import CommandFailed, run
from images.diskplan import gpt_name, plan, sfdisk_script, type_guid
from images.errors import BadInput
from images.layout import GIB, MIB
from images.layout_parse import default_layout, parse_layout
from images.storage import resolve


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(2 * GIB)
    return str(path)


def test_sfdisk_takes_our_script_and_makes_exactly_the_plan(image):
    made = plan(default_layout(), 2 * GIB)
    guids = [disk.new_uuid("gpt") for _ in made.extents]
    run(["sfdisk", "--quiet", image], sfdisk_script(made, disk.new_uuid("gpt"), guids))
    text = run(["sfdisk", "--dump", image])
    for extent in made.extents:
        assert f"start={extent.start // 512:>12}, size={extent.size // 512:>12}" in text
        assert guids[extent.number - 1].upper() in text


def test_wipe_leaves_nothing_that_could_boot_or_be_found(image):
    made = plan(default_layout(), 2 * GIB)
    guids = [disk.new_uuid("gpt") for _ in made.extents]
    run(["sfdisk", "--quiet", image], sfdisk_script(made, disk.new_uuid("gpt"), guids))
    with open(image, "r+b") as file:
        file.write(b"\xeb\x63BOOTCODE")
        for extent in made.extents:
            file.seek(extent.start)
            file.write(b"FS" * 1000)
    disk.wipe(image, [(e.start, e.size) for e in made.extents], made.extents)
    assert run(["wipefs", "--noheadings", image]) == ""
    with open(image, "rb") as file:
        assert not any(file.read(4 * MIB))
        for extent in made.extents:
            file.seek(extent.start)
            assert not any(file.read(MIB))


@pytest.mark.parametrize(
    ("fs", "role"), [("ext4", "root"), ("xfs", "root"), ("vfat", "esp"), ("swap", "swap")]
)
def test_filesystems_get_the_uuid_we_chose(tmp_path, fs, role):
    made = plan(default_layout("xfs" if fs == "xfs" else "ext4"), 5 * GIB)
    extent = made.by_role(role)
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(extent.size)
    uuid = disk.new_uuid(fs)
    disk.make_filesystem(str(path), extent.partition, extent.size, uuid, 1000)
    said = run(["blkid", "-p", "-o", "export", str(path)])
    assert f"UUID={uuid}" in said.splitlines() and f"TYPE={fs}" in said.splitlines()
    disk.check_filesystem(str(path), fs)


def test_root_has_inodes_for_every_file_and_no_features_that_old_tools_refuse(tmp_path):
    extent = plan(default_layout(), 2 * GIB).by_role("root")
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(extent.size)
    disk.make_filesystem(str(path), extent.partition, extent.size, disk.new_uuid("ext4"), 300_000)
    said = subprocess.run(["dumpe2fs", "-h", str(path)], capture_output=True, text=True).stdout
    inodes = next(int(line.split()[-1]) for line in said.splitlines() if line.startswith("Inode count"))
    assert inodes >= 600_000
    assert "orphan_file" not in said and "metadata_csum_seed" not in said


def test_check_finds_damage(tmp_path):
    extent = plan(default_layout(), 2 * GIB).by_role("root")
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(extent.size)
    disk.make_filesystem(str(path), extent.partition, extent.size, disk.new_uuid("ext4"), 10)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))
    with pytest.raises(CommandFailed, match="e2fsck failed"):
        disk.check_filesystem(str(path), "ext4")


def test_commands_fail_with_their_last_words():
    with pytest.raises(CommandFailed, match=r"ls failed with code 2: .*No such file"):
        run(["ls", "/no/such"])
    with pytest.raises(CommandFailed, match="no-such-tool is not there"):
        run(["no-such-tool"])
    with pytest.raises(CommandFailed, match="did not finish within"):
        run(["sleep", "5"], limit=0.1)


def test_clear_discards_the_whole_disk_or_overwrites_it(tmp_path, monkeypatch):
    device = tmp_path / "vda"
    device.touch()
    os.truncate(device, 5 << 30)
    asked, able = [], True

    def ioctl(handle, request, argument):
        asked.append((request, *struct.unpack("QQ", argument)))
        if request == disk.BLKDISCARD and not able:
            raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(disk.fcntl, "ioctl", ioctl)
    disk.clear(str(device), pytest.fail)
    assert asked == [(disk.BLKDISCARD, 0, 5 << 30)]
    able, said = False, []
    disk.clear(str(device), said.append)
    assert [(start, length) for request, start, length in asked[2:] if request == disk.BLKZEROOUT] == [
        (number << 30, 1 << 30) for number in range(5)
    ]
    assert "cannot discard" in said[0]


STORAGE = resolve(
    default_layout(),
    [{"path": "/dev/vda", "size": 8 * GIB, "sector": 512, "read_only": False, "removable": False,
      "transport": "virtio"}],
    None, GIB,
)  # fmt: skip


def blank(command, **_):
    raise CommandFailed(f"sfdisk failed with code 1: sfdisk: {command[-1]}: {present.NO_TABLE}")


def recorded(monkeypatch, rows, **found):
    """What a ground does to a disk whose table has these rows."""
    steps = []
    for name in ("wipe", "clear", "partition", "unboot", "unmount_all"):
        monkeypatch.setattr(ground.disks, name, lambda *_, name=name: steps.append(name))
    for name in ("assemble", "create", "release"):
        monkeypatch.setattr(ground.volumes, name, lambda *_, name=name: steps.append(name))
    monkeypatch.setattr(present, "run", blank)
    monkeypatch.setattr(ground.disks, "old_partitions", lambda _: [])
    monkeypatch.setattr(ground, "table", lambda _: rows)
    there = {"TYPE": "ext4", "LABEL": "root"}
    monkeypatch.setattr(ground, "filesystem", lambda device: {**there, "UUID": f"of {device}", **found})
    monkeypatch.setattr(ground, "run", lambda *_, **__: "")
    return steps


@pytest.mark.parametrize("asked", [True, False])
def test_a_deploy_clears_the_disk_when_asked_to(monkeypatch, asked):
    steps = recorded(monkeypatch, ())
    made = ground.Ground(STORAGE, asked, None, print)
    made.look()
    made.partition()
    # Unbootable first: overwriting may take hours, in which the power may fail.
    wanted = ["unmount_all", "release", "wipe", *(["clear"] if asked else []), "partition", "create"]
    assert steps == wanted and made.reused == []


def wanted_rows():
    extents = STORAGE.disks[0].plan.extents
    return tuple(
        Row(e.number, e.start, e.size, type_guid(e.partition), gpt_name(e.partition), f"G{e.number}")
        for e in extents
    )


def test_a_disk_that_is_already_as_wanted_keeps_its_table_and_root_but_cannot_boot(monkeypatch):
    steps = recorded(monkeypatch, wanted_rows())
    made = ground.Ground(STORAGE, False, None, print)
    made.look()
    assert made.partition().startswith("as it was")
    assert steps == ["unmount_all", "release", "unboot", "assemble"]
    assert [p.device for p in made.reused] == ["/dev/vda4"] and made.uuids == {"/dev/vda4": "of /dev/vda4"}
    assert made.guids["/dev/vda", 2] == "g2"


@pytest.mark.parametrize(
    ("found", "why"),
    [({"TYPE": "xfs"}, "it holds xfs, not ext4"), ({"LABEL": "home"}, "its label is 'home'")],
)
def test_a_file_system_that_is_not_as_declared_is_made_new_and_that_is_said(monkeypatch, found, why):
    recorded(monkeypatch, wanted_rows(), **found)
    monkeypatch.setattr(ground.disks, "make_filesystem", lambda *_: None)
    made = ground.Ground(STORAGE, False, None, print)
    made.look()
    made.partition()
    assert made.reused == [] and f"made new: /dev/vda4: {why}" in made.format(10)


def test_a_clean_slate_was_asked_for(monkeypatch):
    steps = recorded(monkeypatch, wanted_rows())
    made = ground.Ground(STORAGE, True, None, print)
    made.look()
    made.partition()
    assert "wipe" in steps and "clear" in steps and made.reused == []


@pytest.mark.parametrize("field", ["start", "size", "type", "name"])
def test_any_difference_makes_a_new_table(monkeypatch, field):
    rows = wanted_rows()
    changed = rows[3]._replace(**{field: "other" if field in ("type", "name") else 1})
    assert field in difference(STORAGE.disks[0], (*rows[:3], changed))
    steps = recorded(monkeypatch, (*rows[:3], changed))
    made = ground.Ground(STORAGE, False, None, print)
    made.look()
    assert f"made new: /dev/vda: partition 4 has {field}" in made.partition()
    assert "wipe" in steps and made.reused == []


def test_unboot_leaves_table_and_files_alone(image):
    made = plan(default_layout(), 2 * GIB)
    guids = [disk.new_uuid("gpt") for _ in made.extents]
    run(["sfdisk", "--quiet", image], sfdisk_script(made, disk.new_uuid("gpt"), guids))
    with open(image, "r+b") as file:
        file.write(b"\xeb\x63BOOTCODE")
        for extent in made.extents:
            file.seek(extent.start)
            file.write(b"FS" * 1000)
    before = run(["sfdisk", "--dump", image])
    heads = [made.by_role("bios").start, made.by_role("esp").start]
    disk.unboot(image, heads)
    assert run(["sfdisk", "--dump", image]) == before and table(image)[1].name == "esp"
    with open(image, "rb") as file:
        assert not any(file.read(440))
        for extent in made.extents:
            file.seek(extent.start)
            assert any(file.read(2000)) == (extent.start not in heads)


KEPT = resolve(
    parse_layout({"partitions": [
        {"role": "bios"},
        {"role": "data", "size": "1G", "label": "PHOTOS", "keep": True, "mount": "/srv"},
        {"role": "root", "size": "grow"},
    ]}),
    [{"path": "/dev/vda", "size": 8 * GIB, "sector": 512, "read_only": False, "removable": False,
      "transport": "virtio"}],
    None, GIB,
)  # fmt: skip


def kept_rows():
    return tuple(
        Row(e.number, e.start, e.size, type_guid(e.partition), gpt_name(e.partition), "G")
        for e in KEPT.disks[0].plan.extents
    )


def test_data_to_keep_is_neither_formatted_nor_moved(monkeypatch):
    recorded(monkeypatch, kept_rows())
    made_new = []
    monkeypatch.setattr(present, "filesystem", lambda _: {"TYPE": "ext4"})
    monkeypatch.setattr(ground.disks, "make_filesystem", lambda device, *_: made_new.append(device))
    made = ground.Ground(KEPT, False, None, print)
    made.look()
    made.partition()
    made.reused = []  # even when root turns out unsound
    said = made.format(1)
    assert made_new == ["/dev/vda3"] and "data PHOTOS kept" in said
    assert made.uuids["/dev/vda2"] == "of /dev/vda2"
    assert [p.device for p in disk.mountable(KEPT)] == ["/dev/vda3"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"size": GIB // 2}, "partition 2 has size 536870912, the layout says 1073741824"),
        ({"start": 5 * MIB}, "partition 2 has start"),
        ({"type": "OTHER"}, "partition 2 has type OTHER"),
    ],
)
def test_data_to_keep_that_would_not_fit_stops_the_imaging(monkeypatch, change, why):
    rows = list(kept_rows())
    rows[1] = rows[1]._replace(**change)
    steps = recorded(monkeypatch, tuple(rows))
    with pytest.raises(BadInput, match="data 'PHOTOS' is to be kept, but ") as caught:
        ground.Ground(KEPT, False, None, print).look()
    assert why in str(caught.value) and "--wipe" in str(caught.value)
    ground.Ground(KEPT, True, None, print).look()  # given up on purpose
    assert steps == []


def test_data_to_keep_with_another_file_system_stops_the_imaging(monkeypatch):
    recorded(monkeypatch, kept_rows())
    monkeypatch.setattr(present, "filesystem", lambda _: {"TYPE": "ntfs"})
    with pytest.raises(BadInput, match="/dev/vda2 holds ntfs, not ext4"):
        ground.Ground(KEPT, False, None, print).look()


def test_a_new_disk_has_nothing_to_keep(monkeypatch):
    steps = recorded(monkeypatch, ())
    made = ground.Ground(KEPT, False, None, print)
    made.look()
    made.partition()
    assert "wipe" in steps


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (CommandFailed("sfdisk failed with code 1: sfdisk: cannot open /dev/vda: Input/output error"),
         "the table of /dev/vda cannot be read .*Input/output error"),
        ('{"partitiontable": {"label": "gpt", "name": "a"b"}}', "the table of /dev/vda cannot be understood"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_may_be_of_data_to_keep(monkeypatch, said, why):
    def run(*_, **__):
        if isinstance(said, Exception):
            raise said
        return said

    steps = recorded(monkeypatch, ())
    monkeypatch.setattr(present, "run", run)
    monkeypatch.setattr(ground, "table", table)
    with pytest.raises(BadInput, match=f"data 'PHOTOS' is to be kept, but {why}"):
        ground.Ground(KEPT, False, None, print).look()
    assert steps == []
    ground.Ground(KEPT, True, None, print).look()  # given up on purpose
    ground.Ground(STORAGE, False, None, print).look()  # nothing is to be kept


def test_a_blank_disk_is_known_by_what_sfdisk_says(image):
    with pytest.raises(CommandFailed, match=present.NO_TABLE):
        run(["sfdisk", "--json", image])


def several(layout, *paths):
    row = {"size": 8 * GIB, "sector": 512, "read_only": False, "removable": False, "transport": "virtio"}
    found = [{**row, "path": path, "serial": path[-1], "model": None} for path in paths]
    return resolve(parse_layout(layout), found, None, GIB)


def rows_of(planned):
    return tuple(
        Row(e.number, e.start, e.size, type_guid(e.partition), gpt_name(e.partition), "G")
        for e in planned.plan.extents
    )


DATA = {"role": "data", "size": "grow", "label": "PHOTOS", "keep": True, "mount": "/srv"}
TWO = [{"name": "system", "serial": "a"}, {"name": "data", "serial": "b"}]


def test_a_new_system_disk_costs_nothing_of_the_data_on_the_other(monkeypatch):
    rows = [{"role": "bios", "disks": ["system"]}, {"role": "root", "size": "grow", "disks": ["system"]}]
    layout = {"disks": TWO, "partitions": [*rows, {**DATA, "disks": ["data"]}]}
    storage = several(layout, "/dev/vda", "/dev/vdb")
    recorded(monkeypatch, ())
    touched, made_new = [], []
    monkeypatch.setattr(ground, "table", lambda path: rows_of(storage.disks[1]) if path == "/dev/vdb" else ())
    monkeypatch.setattr(present, "filesystem", lambda _: {"TYPE": "ext4"})
    monkeypatch.setattr(ground.disks, "wipe", lambda path, *_: touched.append(path))
    monkeypatch.setattr(ground.disks, "partition", lambda path, *_: touched.append(path))
    monkeypatch.setattr(ground.disks, "make_filesystem", lambda device, *_: made_new.append(device))
    made = ground.Ground(storage, False, None, print)
    made.look()
    made.partition()
    said = made.format(1)
    assert touched == ["/dev/vda", "/dev/vda"] and made_new == ["/dev/vda2"]
    assert "data PHOTOS kept" in said and made.guids["/dev/vdb", 1] == "g"


GROUP = {
    "partitions": [{"role": "bios"}, {"role": "lvm", "vg": "vg0", "size": "grow"}],
    "volumes": [
        {"vg": "vg0", "name": "root", "role": "root", "size": "3G"},
        {"vg": "vg0", "name": "photos", "role": "data", "size": "grow", "mount": "/srv", "keep": True},
    ],
}


def test_a_volume_to_keep_is_neither_formatted_nor_moved(monkeypatch):
    storage = several(GROUP, "/dev/vda")
    steps, made_new = recorded(monkeypatch, rows_of(storage.disks[0])), []
    monkeypatch.setattr(present, "filesystem", lambda _: {"TYPE": "ext4"})
    monkeypatch.setattr(ground.disks, "make_filesystem", lambda device, *_: made_new.append(device))
    made = ground.Ground(storage, False, None, print)
    made.look()
    assert steps == ["unmount_all", "release", "assemble", "release"], "looked at, and let go of"
    made.partition()
    made.reused = []
    said = made.format(1)
    assert "create" not in steps and made_new == ["/dev/vg0/root"] and "data /dev/vg0/photos kept" in said


@pytest.mark.parametrize("when", ["looking", "making"])
def test_a_volume_to_keep_whose_group_does_not_open_stops_the_imaging(monkeypatch, when):
    storage = several(GROUP, "/dev/vda")
    steps = recorded(monkeypatch, rows_of(storage.disks[0]))
    monkeypatch.setattr(present, "filesystem", lambda _: {"TYPE": "ext4"})
    made = ground.Ground(storage, False, None, print)

    def broken(*_):
        raise CommandFailed("no such group")

    if when == "making":
        made.look()
    monkeypatch.setattr(ground.volumes, "assemble", broken)
    with pytest.raises(BadInput, match=r"/dev/vg0/photos is to be kept.*--wipe"):
        made.look() if when == "looking" else made.partition()
    assert "create" not in steps and "wipe" not in steps


def test_a_volume_to_keep_on_disks_of_which_one_is_new_stops_the_imaging(monkeypatch):
    disks = [{"name": "a", "serial": "a"}, {"name": "b", "serial": "b"}]
    rows = [{"role": "bios"}, {"role": "lvm", "vg": "vg0", "size": "grow", "raid": 1}]
    storage = several({**GROUP, "disks": disks, "partitions": rows}, "/dev/vda", "/dev/vdb")
    steps = recorded(monkeypatch, ())
    monkeypatch.setattr(ground, "table", lambda path: rows_of(storage.disks[1]) if path == "/dev/vdb" else ())
    with pytest.raises(BadInput, match="is to be kept, but /dev/vda has no partition table"):
        ground.Ground(storage, False, None, print).look()
    assert steps == []
    monkeypatch.setattr(ground, "table", lambda _: ())
    ground.Ground(storage, False, None, print).look()  # two new disks: nothing to keep


def test_partitions_are_used_when_udevd_has_read_the_table_again(image, tmp_path, monkeypatch):
    """It does so after each writer, and takes them away meanwhile."""
    made, did = plan(default_layout(), 2 * GIB), []
    monkeypatch.setattr(disk, "run", lambda command, *_, **__: did.append(command[0]))
    monkeypatch.setattr(disk, "_wait_for_partition", lambda *_: did.append("use"))
    monkeypatch.setattr(disk, "UDEVD", tmp_path / "control")
    guids = [disk.new_uuid("gpt") for _ in made.extents]
    disk.unboot(image, [])
    assert did == [], "nobody to wait for"
    (tmp_path / "control").touch()
    disk.unboot(image, [])
    disk.partition(image, made, disk.new_uuid("gpt"), guids)
    assert did == ["udevadm", "sfdisk", "udevadm", *["use"] * len(made.extents)]


def test_a_partition_that_is_taken_away_under_the_reader_is_waited_for(tmp_path, monkeypatch):
    """The kernel takes partitions away and shows them again; a read in between ends with ENODEV."""
    size = tmp_path / "size"
    size.write_text("2048\n")
    real, said = Path.read_text, iter([errno.ENODEV, errno.ENOENT, None])

    def read(path):
        number = next(said)
        if number:
            raise OSError(number, "sysfs")
        return real(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert [disk._size_in(size) for _ in range(3)] == [None, None, 1 << 20]
    said = iter([errno.EIO])
    with pytest.raises(OSError, match="sysfs"):
        disk._size_in(size)
