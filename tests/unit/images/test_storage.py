"""Layouts over several disks: how disks are found, what is refused, and every device by name and size."""

from __future__ import annotations

from typing import Any

import pytest

from images.disk_choice import match_disks
from images.errors import BadInput
from images.layout import GIB, MIB, DiskMatch
from images.layout_parse import layout_to_json, parse_layout
from images.mounts_table import crypttab, fstab, mdadm_conf, root_argument
from images.storage import resolve

TWO = [{"name": "a", "serial": "S1"}, {"name": "b", "serial": "S2"}]
BIOS, ESP = {"role": "bios"}, {"role": "esp", "size": "64M"}
BOOT = {"role": "boot", "size": "512M", "raid": 1}


def disk(path: str, size: int = 8 * GIB, **more: Any) -> dict[str, Any]:
    row = {"path": path, "size": size, "sector": 512, "read_only": False, "removable": False}
    return {**row, "transport": "virtio", "model": "M", "serial": path[-1], "wwn": None, **more}


FOUND = [disk("/dev/vda", serial="S1"), disk("/dev/vdb", 9 * GIB, serial="S2"), disk("/dev/vdc")]


def everything() -> dict[str, Any]:
    return {
        "disks": TWO,
        "partitions": [
            BIOS, ESP, BOOT, {"role": "lvm", "vg": "vg0", "size": "grow", "raid": 1, "luks": "server"},
        ],
        "volumes": [
            {"vg": "vg0", "name": "root", "role": "root", "size": "grow", "fs": "xfs"},
            {"vg": "vg0", "name": "swap", "role": "swap", "size": "25%"},
        ],
    }  # fmt: skip


def test_every_layer_is_named_and_sized_before_anything_is_touched() -> None:
    storage = resolve(parse_layout(everything()), FOUND, None, GIB)
    assert [d.path for d in storage.disks] == ["/dev/vda", "/dev/vdb"]
    assert [(a.name, a.level, a.members) for a in storage.arrays] == [
        ("boot", 1, ("/dev/vda3", "/dev/vdb3")),
        ("vg0", 1, ("/dev/vda4", "/dev/vdb4")),
    ]
    assert [(c.below, c.unlock) for c in storage.crypts] == [("/dev/md101", "server")]
    assert storage.groups[0].devices == (storage.crypts[0].device,)
    places = {p.partition.role: p for p in storage.places}
    assert places["root"].device == "/dev/vg0/root" and places["boot"].device == "/dev/md100"
    assert [p.device for p in storage.places if p.partition.role == "esp"] == ["/dev/vda2", "/dev/vdb2"]
    group = places["root"].size + places["swap"].size
    assert 7 * GIB < group < 8 * GIB - 512 * MIB and abs(places["swap"].size - group / 4) < 8 * MIB
    assert storage.features == ("raid", "luks", "lvm")


def test_the_system_is_told_of_every_layer() -> None:
    storage = resolve(parse_layout(everything()), FOUND, None, GIB)
    uuids = {p.device: f"fs-{p.device}" for p in storage.places}
    uuids.update({a.key: "01234567-89ab-cdef-0123-456789abcdef" for a in storage.arrays})
    uuids["/dev/md101"] = "luks-uuid"
    assert root_argument(storage, uuids) == "root=/dev/mapper/vg0-root"[5:]
    assert "ARRAY /dev/md/vg0 metadata=1.2 UUID=01234567:89abcdef:01234567:89abcdef" in mdadm_conf(
        storage, uuids
    )
    assert "UUID=luks-uuid\tnone\tluks,discard,initramfs,keyscript=" in crypttab(storage, uuids)
    rows = [line.split("\t") for line in fstab(storage, uuids).splitlines()]
    assert [row[1] for row in rows] == ["/", "/boot", "/boot/efi", "none"], "one ESP is mounted"


def test_layout_with_everything_survives_json() -> None:
    layout = parse_layout(everything())
    assert parse_layout(layout_to_json(layout)) == layout


@pytest.mark.parametrize(
    ("level", "disks", "times"), [(0, 2, 2), (1, 2, 1), (5, 3, 2), (10, 4, 2)], ids=str
)
def test_arrays_have_the_room_their_level_gives(level: int, disks: int, times: int) -> None:
    names = [{"name": f"d{n}", "position": n + 1} for n in range(disks)]
    rows = [BIOS, {**BOOT}, {"role": "root", "size": "grow", "raid": level}]
    found = [disk(f"/dev/vd{'abcd'[n]}", 4 * GIB) for n in range(disks)]
    storage = resolve(parse_layout({"disks": names, "partitions": rows}), found, None, GIB)
    assert 0.85 < storage.root.size / (4 * GIB * times) < 0.9


def test_too_small_is_refused_before_anything_is_touched() -> None:
    layout = parse_layout(everything())
    with pytest.raises(BadInput, match=r"/dev/vda is too small: it has 8.0 GiB.*at least"):
        resolve(layout, FOUND, None, 10 * GIB)
    small = everything()
    small["volumes"][0]["size"] = "800M"
    with pytest.raises(BadInput, match=r"volume root is too small: it has 800 MiB, it needs at least"):
        resolve(parse_layout(small), FOUND, None, GIB)


def test_disks_are_found_by_what_is_said_of_them() -> None:
    found = [disk("/dev/sda", 500 * GIB, model="Big"), disk("/dev/sdb", 100 * GIB, model="Fast"),
             disk("/dev/sdc", 100 * GIB, model="Fast"), disk("/dev/sdd", GIB, removable=True)]  # fmt: skip
    chosen = match_disks(
        [DiskMatch("x", model="Fast"), DiskMatch("y", model="Fast"), DiskMatch("z", min_size=200 * GIB)],
        found,
    )
    paths = {name: d["path"] for name, d in chosen.items()}
    assert paths == {"x": "/dev/sdb", "y": "/dev/sdc", "z": "/dev/sda"}
    first = match_disks([DiskMatch("any"), DiskMatch("one", position=1)], found)
    assert first["one"]["path"] == "/dev/sda" and first["any"]["path"] == "/dev/sdb"
    with pytest.raises(BadInput, match=r"disk y: none fits \(another name has taken /dev/sda\)"):
        match_disks([DiskMatch("x", model="Big"), DiskMatch("y", model="Big")], found)
    with pytest.raises(BadInput, match=r"disk x: none fits \(this machine has /dev/sda 500.0 GiB"):
        match_disks([DiskMatch("x", serial="nope")], found)


ROOT = {"role": "root", "size": "grow"}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"disks": TWO, "partitions": [BIOS, {**ROOT, "disks": ["a", "b"]}]}, "so it needs raid"),
        ({"disks": TWO, "partitions": [BIOS, {**ROOT, "disks": ["c"]}]}, "no disk 'c' is declared"),
        ({"disks": TWO, "partitions": [BIOS, {**ROOT, "raid": 5}]}, "raid 5 needs 3 disks, it has 2"),
        ({"disks": TWO, "partitions": [BIOS, {**ROOT, "raid": 6}]}, "raid 6 is none of"),
        ({"disks": TWO, "partitions": [{**ESP, "raid": 1}, ROOT]}, "the firmware knows none"),
        ({"partitions": [BIOS, {**ROOT, "raid": 1}]}, "raid 1 needs 2 disks, it has 0"),
        ({"partitions": [BIOS, {**ROOT, "luks": "server"}]}, "needs a boot partition that is not"),
        ({"partitions": [BIOS, {**ROOT, "luks": "tpm"}]}, "luks 'tpm' is none of server, passphrase"),
        ({"partitions": [BIOS, {"role": "lvm", "size": "grow"}]}, "role lvm and only it needs vg"),
        ({"partitions": [BIOS, {**ROOT, "vg": "x"}]}, "role lvm and only it needs vg"),
        ({"partitions": [BIOS, ROOT, {"role": "lvm", "vg": "x", "size": "1G"}]}, "group x has no volume"),
        (
            {"partitions": [BIOS, ROOT], "volumes": [{"vg": "v", "name": "n", "role": "data", "size": "1G"}]},
            "no partition has vg 'v'",
        ),
        (
            {"partitions": [BIOS], "volumes": [{"vg": "v", "name": "n", "role": "esp", "size": "1G"}]},
            "role esp cannot be a logical volume",
        ),
        ({"disks": [TWO[0], TWO[0]], "partitions": [BIOS, ROOT]}, "two disks have the same name"),
        ({"disks": [{"name": "a", "size": 1}], "partitions": [BIOS, ROOT]}, "unknown key 'size'"),
        ({"disks": [{"name": "a", "position": 0}], "partitions": [BIOS, ROOT]}, "position 0 must be"),
        (
            {"partitions": [BIOS, ROOT, {"role": "data", "size": "1G", "keep": True}]},
            "keep needs a label",
        ),
        ({"partitions": [BIOS, {**ROOT, "keep": True}]}, "keep is for data"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_row_and_the_reason(bad: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_layout(bad)
    text = str(caught.value)
    assert text.startswith("layout: ") and why in text and "\n" not in text
