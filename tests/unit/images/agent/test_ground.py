"""What a deploy does to a disk: made new, or used as it is where it is as wanted."""

import pytest
from ground_house import STORAGE, recorded, rows_of

from images.agent import ground
from images.agent.present import difference


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
    return tuple(row._replace(guid=f"G{row.number}") for row in rows_of(STORAGE.disks[0]))


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
