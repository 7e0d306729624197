"""Data and volumes to keep are neither formatted nor moved; what would cost them stops the imaging."""

import pytest
from ground_house import STORAGE, recorded, rows_of

from images.agent import disk, ground, present
from images.agent.present import table
from images.agent.run import CommandFailed
from images.errors import BadInput
from images.layout import GIB, MIB
from images.layout_parse import parse_layout
from images.storage import resolve

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
    return rows_of(KEPT.disks[0])


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


def several(layout, *paths):
    row = {"size": 8 * GIB, "sector": 512, "read_only": False, "removable": False, "transport": "virtio"}
    found = [{**row, "path": path, "serial": path[-1], "model": None} for path in paths]
    return resolve(parse_layout(layout), found, None, GIB)


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
