"""Ignition: what is written, and what is found wrong in any config."""

import base64
import json

import pytest

from pxe.answers.errors import Unfit
from pxe.answers.ignition.check import check
from pxe.answers.ignition.render import render
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target

COREOS = find_target("coreos")


def made(**values):
    text = render(profile_from(values), COREOS, {"disk": "sesame"})
    assert check(text) == []
    return json.loads(text)


def test_disks_for_data_are_found_by_label_and_mounted():
    config = made(disks={
        "clear": {"what": "all"},
        "partitions": [
            {"name": "raid.1", "size": 100, "disk": "sdb"}, {"name": "raid.2", "size": 100, "disk": "sdc"},
            {"name": "/var/lib/my-data", "size": 1, "grow": True, "disk": "sdb",
             "luks": {"passphrase": "secret:disk"}},
        ],
        "raids": [{"name": "/srv", "device": "md0", "level": "RAID1", "members": ["raid.1", "raid.2"],
                   "filesystem": "ext4", "mount_options": "noatime"}],
    })  # fmt: skip
    storage = config["storage"]
    assert [disk["wipeTable"] for disk in storage["disks"]] == [True, True]
    assert storage["disks"][0]["partitions"][1] == {"label": "var-lib-my-data", "number": 2, "sizeMiB": 0}
    assert storage["raid"] == [{"name": "md0", "level": "raid1", "devices": [
        "/dev/disk/by-partlabel/raid.1", "/dev/disk/by-partlabel/raid.2"]}]  # fmt: skip
    (lock,) = storage["luks"]
    assert base64.b64decode(lock["keyFile"]["source"].partition(",")[2]) == b"sesame"
    units = {unit["name"]: unit["contents"] for unit in config["systemd"]["units"]}
    assert (
        "What=/dev/mapper/luks-var-lib-my-data\nWhere=/var/lib/my-data\n"
        in units["var-lib-my\\x2ddata.mount"]
    )
    assert "Options=noatime\n" in units["srv.mount"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"packages": {"names": ["vim"]}}, "packages"),
        ({"disks": {"partitions": [{"name": "/", "size": 1, "disk": "sda"}]}}, "disks.partitions[0]"),
        ({"disks": {"partitions": [{"name": "/srv", "size": 1}]}}, "disks.partitions[0].disk"),
        ({"disks": {"groups": [{"name": "vg"}]}}, "disks.groups"),
        ({"network": [{"device": "e", "team_config": "{}"}]}, "network[0].team_slaves"),
        ({"network": [{"method": "static", "address": "1;5", "netmask": "255.0.0.0"}]}, "network[0]"),
        ({"scripts": [{"when": "pre", "text": "x\n"}]}, "scripts[0]"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_with_its_field(changes, field):
    with pytest.raises(Unfit) as refused:
        render(profile_from(changes), COREOS)
    assert field in {one.field for one in refused.value.findings}


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        ({"ignition": {"version": "2.2.0"}}, 3, "must be 3.0.0 to 3.4.0"),
        ({"passwd": {"users": [{"name": "a"}, {"name": "a"}]}}, 6, "a is there 2 times"),
        ({"storage": {"files": [{"path": "etc/x"}]}}, 9, "must begin with /"),
        ({"storage": {"filess": []}}, 5, "unknown field filess"),
        ({"systemd": {"units": [{"name": "x"}]}}, 9, "no name of a unit"),
        ({"storage": {"raid": [{"name": "md0", "level": "1", "devices": ["/dev/a"]}]}}, 10, "one of linear"),
        ({"storage": {"disks": [{"device": "/dev/sda", "partitions": [{"label": "a:b"}]}]}}, 12, "no colon"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_found_with_its_line(change, line, says):
    text = json.dumps({"ignition": {"version": "3.4.0"}, **change}, indent=2)
    found = check(text)
    assert any(says in one.text for one in found), found
    assert found[0].line in (line, line - 1, line + 1), found


def test_what_is_no_json_has_a_line():
    assert check('{\n"ignition": {\n]')[0].line == 3
