"""Declared layouts: what is accepted, what is refused and why, and the exact plan for a disk."""

from itertools import pairwise

import pytest

from images.diskplan import partition_path, plan, root_minimum, sfdisk_script, smallest_disk
from images.errors import BadInput
from images.layout import GIB, MIB
from images.layout_parse import default_layout, layout_to_json, parse_layout, parse_size
from images.mounts_table import fstab
from images.storage import resolve


def test_default_layout_boots_both_ways_and_fills_the_disk():
    made = plan(default_layout(), 8 * GIB)
    assert [e.partition.role for e in made.extents] == ["bios", "esp", "swap", "root"]
    assert made.by_role("bios").start == MIB
    assert made.by_role("esp").size == 128 * MIB
    assert made.by_role("swap").size == 512 * MIB
    root = made.by_role("root")
    assert 8 * GIB - 3 * MIB <= root.start + root.size <= 8 * GIB - MIB
    assert all(e.start % MIB == 0 and e.size % MIB == 0 for e in made.extents)


def test_extents_do_not_overlap():
    made = plan(default_layout(), 8 * GIB).extents
    assert all(a.start + a.size <= b.start for a, b in pairwise(made))


@pytest.mark.parametrize(("disk", "swap"), [(2 * GIB, None), (4 * GIB, 256 * MIB), (64 * GIB, 512 * MIB)])
def test_swap_shrinks_on_small_disks_and_vanishes_from_tiny_ones(disk, swap):
    found = plan(default_layout(), disk).by_role("swap")
    assert (found.size if found else None) == swap


def test_too_small_names_what_is_needed_and_what_is_there():
    with pytest.raises(BadInput, match=r"/dev/vda is too small: it has 400 MiB.*need at least 5\d\d MiB"):
        plan(default_layout(), 400 * MIB, root_bytes=350 * MIB, disk="/dev/vda")


@pytest.mark.parametrize("image", [10 * MIB, 350 * MIB, 5 * GIB])
@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_smallest_disk_is_exactly_the_least_that_plans(image, fs):
    layout = default_layout(fs)
    least = smallest_disk(layout, image)
    made = plan(layout, least, root_bytes=image)
    assert made.by_role("root").size >= root_minimum(layout, image) >= image
    with pytest.raises(BadInput):
        plan(layout, least - 4 * MIB, root_bytes=image)


def test_xfs_root_has_a_floor():
    layout = parse_layout({"partitions": [{"role": "bios"}, {"role": "root", "fs": "xfs", "size": "2%"}]})
    with pytest.raises(BadInput, match="root partition is too small"):
        plan(layout, 8 * GIB)


def test_fixed_root_smaller_than_the_image():
    layout = parse_layout({"partitions": [{"role": "esp", "size": "64M"}, {"role": "root", "size": "500M"}]})
    with pytest.raises(BadInput, match="the layout gives it 500 MiB, the image needs at least"):
        plan(layout, 8 * GIB, root_bytes=600 * MIB)


def test_percent_is_of_the_disk():
    layout = parse_layout(
        {
            "partitions": [
                {"role": "bios"},
                {"role": "root", "size": "25%"},
                {"role": "data", "size": "grow", "mount": "/srv"},
            ]
        }
    )
    made = plan(layout, 100 * GIB)
    assert made.by_role("root").size == 25 * GIB
    assert made.by_role("data").size > 74 * GIB


def test_layout_survives_json():
    layout = parse_layout(
        {
            "partitions": [
                {"role": "bios"},
                {"role": "swap", "size": "10%", "optional": True, "label": "SWAP"},
                {"role": "root", "fs": "xfs", "size": "grow"},
                {"role": "data", "size": "3G", "mount": "/srv/data"},
            ]
        }
    )
    assert parse_layout(layout_to_json(layout)) == layout


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({}, "must be a list"),
        ({"partitions": []}, "must be a list"),
        ({"partitions": [{"role": "root", "size": "grow"}]}, "no machine could boot"),
        ({"partitions": [{"role": "bios"}]}, "exactly one root"),
        ({"partitions": [{"role": "bios"}, {"role": "root", "size": "big"}]}, "size 'big'"),
        ({"partitions": [{"role": "bios"}, {"role": "root"}]}, "size is missing"),
        ({"partitions": [{"role": "bios"}, {"role": "root", "size": 0}]}, "size 0"),
        ({"partitions": [{"role": "bios"}, {"role": "root", "size": "0%"}]}, "size '0%'"),
        ({"partitions": [{"role": "bios"}, {"role": "root", "size": True}]}, "size True"),
        (
            {"partitions": [{"role": "bios"}, {"role": "root", "size": "grow", "fs": "zfs"}]},
            "file system 'zfs'",
        ),
        (
            {"partitions": [{"role": "bios"}, {"role": "root", "size": "grow", "mount": "/x"}]},
            "always mounted on /",
        ),
        (
            {"partitions": [{"role": "bios"}, {"role": "root", "size": "grow", "colour": 1}]},
            "unknown key 'colour'",
        ),
        (
            {"partitions": [{"role": "bios"}, {"role": "bios"}, {"role": "root", "size": "grow"}]},
            "more than one bios",
        ),
        ({"partitions": [{"role": "boat"}]}, "role 'boat'"),
        ({"table": "mbr", "partitions": [{"role": "bios"}]}, "only GPT"),
        (
            {"partitions": [{"role": "bios"}, {"role": "root", "size": "grow", "optional": True}]},
            "only swap and data",
        ),
        (
            {
                "partitions": [
                    {"role": "bios"},
                    {"role": "root", "size": "grow"},
                    {"role": "data", "size": "grow"},
                ]
            },
            "only one partition can grow",
        ),
        (
            {
                "partitions": [
                    {"role": "bios"},
                    {"role": "root", "size": "grow"},
                    {"role": "data", "size": "1G", "mount": "/a/../b"},
                ]
            },
            "not an absolute, plain path",
        ),
        (
            {"partitions": [{"role": "bios"}, {"role": "root", "size": "grow", "label": 'a"b'}]},
            "label must be",
        ),
    ],
)
def test_refused_with_the_reason(bad, why):
    with pytest.raises(BadInput, match=why):
        parse_layout(bad)


def test_sizes():
    assert parse_size("512M").fixed == 512 * MIB
    assert parse_size(" 2g ").fixed == 2 * GIB
    assert parse_size(4096).fixed == 4096
    assert str(parse_size("1536M")) == "1536M"


def test_sfdisk_script_counts_in_the_disks_own_sectors():
    layout = parse_layout({"partitions": [{"role": "esp", "size": "64M"}, {"role": "root", "size": "grow"}]})
    script = sfdisk_script(plan(layout, 4 * GIB, sector=4096), "ab-cd", ["11-22", "33-44"])
    assert "sector-size: 4096" in script and "label-id: AB-CD" in script
    first = next(line for line in script.splitlines() if line.startswith("start="))
    assert first.startswith("start=256, size=16384, type=C12A7328-") and 'uuid=11-22, name="esp"' in first


def test_fstab_mounts_by_uuid_root_first():
    disk = {"path": "/dev/vda", "size": 8 * GIB, "sector": 512, "read_only": False, "removable": False}
    storage = resolve(default_layout(), [{**disk, "transport": "virtio"}], None, GIB)
    uuids = {"/dev/vda2": "AAAA-BBBB", "/dev/vda3": "swap-uuid", "/dev/vda4": "root-uuid"}
    text = fstab(storage, uuids)
    rows = [line.split("\t") for line in text.splitlines()]
    assert [row[1] for row in rows] == ["/", "/boot/efi", "none"]
    assert rows[0] == ["UUID=root-uuid", "/", "ext4", "defaults,errors=remount-ro", "0", "1"]
    assert "nofail" in rows[1][3] and rows[2][2] == "swap"


@pytest.mark.parametrize(
    ("disk", "path"),
    [("/dev/vda", "/dev/vda3"), ("/dev/nvme0n1", "/dev/nvme0n1p3"), ("/dev/mmcblk0", "/dev/mmcblk0p3")],
)
def test_partition_names(disk, path):
    assert partition_path(disk, 3) == path
