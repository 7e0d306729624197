"""Layouts that no tool could make are refused when they are read."""

from __future__ import annotations

from typing import Any

import pytest

from images.errors import BadInput
from images.layout import MIB
from images.layout_limits import MOST_PARTITIONS
from images.layout_parse import default_layout, parse_layout

BIOS, ROOT = {"role": "bios"}, {"role": "root", "size": "grow"}
DATA = {"role": "data", "size": "1G"}


def made(*rows: dict[str, Any], root: dict[str, Any] = ROOT, **more: Any) -> Any:
    return parse_layout({"partitions": [BIOS, root, *rows], **more})


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"size": "299M", "fs": "xfs"}, r"size 299M is too small; the least for xfs is 300M"),
        ({"size": "20M", "fs": "btrfs"}, r"the least for btrfs is 256M"),
        ({"role": "esp", "size": "1M"}, r"partition 3 \(esp\): size 1M is too small; the least .* 34M"),
        ({"role": "swap", "size": 5, "optional": True}, r"\(swap\): size 5 is too small"),
        ({"role": "boot", "size": "10M"}, r"the least for boot is 64M"),
    ],
)
def test_too_small(row: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        made({**DATA, **row})


def test_a_root_of_bytes() -> None:
    with pytest.raises(BadInput, match=r"partition 2 \(root\): size 5 is too small; the least for .* 32M"):
        made(root={"role": "root", "size": 5})


def test_the_least_is_enough() -> None:
    esp = {"role": "esp", "size": 34 * MIB - 5}
    rows = made({**DATA, "size": "300M", "fs": "xfs"}, esp, {**DATA, "size": 5})
    assert [row.role for row in rows.partitions[-3:]] == ["data", "esp", "data"]
    rows = made({**DATA, "size": "256M", "fs": "btrfs"}, {**DATA, "size": "1%", "fs": "xfs"})
    assert [row.fs for row in rows.partitions[-2:]] == ["btrfs", "xfs"]
    assert default_layout("xfs").root.fs == "xfs"


def test_a_volume_too_small() -> None:
    with pytest.raises(BadInput, match=r"volume x \(data\): size 20M is too small; the least for xfs"):
        made(
            {"role": "lvm", "vg": "v", "size": "9G"},
            volumes=[{**DATA, "vg": "v", "name": "x", "fs": "xfs", "size": "20M"}],
        )


@pytest.mark.parametrize("name", ["snapshot", "snapshots", "pvmove", "pvmove0", "a_tdata", "x_rmeta_0"])
def test_names_of_lvm_itself(name: str) -> None:
    with pytest.raises(BadInput, match=f"volume {name}: LVM keeps this name for itself"):
        made({"role": "lvm", "vg": "v", "size": "9G"}, volumes=[{**DATA, "vg": "v", "name": name}])


@pytest.mark.parametrize("group", ["sda", "mapper", "null", "md127", "nvme0n1", "tty1"])
def test_a_group_named_like_a_device(group: str) -> None:
    with pytest.raises(BadInput, match=f"volume group {group}: there is a /dev/{group}"):
        made({"role": "lvm", "vg": group, "size": "9G"}, volumes=[{**DATA, "vg": group, "name": "x"}])


@pytest.mark.parametrize("group", ["vg0", "sdata", "mdx", "vdisk1", "ramses", "disk1", "nvme", "my_snapshot"])
def test_plain_names(group: str) -> None:
    made({"role": "lvm", "vg": group, "size": "9G"}, volumes=[{**DATA, "vg": group, "name": group}])


def test_a_label_names_one() -> None:
    with pytest.raises(BadInput, match="label 'PHOTOS' is given twice"):
        made({**DATA, "label": "PHOTOS"}, {**DATA, "label": "PHOTOS"})
    made({**DATA, "label": "PHOTOS"}, {**DATA, "label": "MUSIC"})


def test_no_disk_fits() -> None:
    with pytest.raises(BadInput, match="disk a: min_size 2T is more than max_size 500G, so no disk fits"):
        made(disks=[{"name": "a", "min_size": "2T", "max_size": "500G"}])
    made(disks=[{"name": "a", "min_size": "500G", "max_size": "500G"}])
    made(disks=[{"name": "a", "min_size": "500G"}])


def test_a_table_has_room_for_128() -> None:
    made(*[DATA] * (MOST_PARTITIONS - 2))
    with pytest.raises(BadInput, match="129 partitions; a table has room for 128"):
        made(*[DATA] * (MOST_PARTITIONS - 1))
