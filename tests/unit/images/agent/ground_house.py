"""A ground whose disks are only told of: what would be done to them is written down."""

from images.agent import ground, present
from images.agent.present import Row
from images.agent.run import CommandFailed
from images.diskplan import gpt_name, type_guid
from images.layout import GIB
from images.layout_parse import default_layout
from images.storage import resolve

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


def rows_of(planned):
    """The table of a disk that is as planned."""
    return tuple(
        Row(e.number, e.start, e.size, type_guid(e.partition), gpt_name(e.partition), "G")
        for e in planned.plan.extents
    )
