"""Ignition: what is written, and what is found wrong in any config."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from pxe.answers.errors import Unfit
from pxe.answers.ignition.check import check
from pxe.answers.ignition.render import render
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target

COREOS = find_target("coreos")


def refused(text):
    """What Ignition's own validator has against a config; "" when it takes it. Warnings count."""
    done = subprocess.run(["ignition-validate", "-"], input=text, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def made(**values):
    text = render(profile_from(values), COREOS, {"disk": "sesame"})
    assert check(text) == [] and refused(text) == ""
    return json.loads(text)


@pytest.mark.parametrize("target", ["coreos", "flatcar"])
def test_the_golden_files_are_good_for_ignition_itself(target):
    assert refused((Path(__file__).parent / f"golden/{target}.txt").read_text()) == ""


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
    with pytest.raises(Unfit) as unfit:
        render(profile_from(changes), COREOS)
    assert field in {one.field for one in unfit.value.findings}


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        ({"ignition": {"version": "2.2.0"}}, 3, "must be 3.0.0 to 3.4.0"),
        ({"passwd": {"users": [{"name": "a"}, {"name": "a"}]}}, 6, "a is there 2 times"),
        ({"storage": {"files": [{"path": "etc/x"}]}}, 9, "must begin with /"),
        ({"storage": {"filess": []}}, 5, "unknown field filess"),
        ({"systemd": {"units": [{"name": "x"}]}}, 9, "no name of a unit"),
        ({"storage": {"raid": [{"name": "md0", "level": "2", "devices": ["/dev/a"]}]}}, 10, "one of 0, 1"),
        ({"storage": {"disks": [{"device": "/dev/sda", "partitions": [{"label": "a:b"}]}]}}, 12, "no colon"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_found_with_its_line(change, line, says):
    text = json.dumps({"ignition": {"version": "3.3.0"}, **change}, indent=2)
    assert refused(text)
    found = check(text)
    assert any(says in one.text for one in found), found
    assert found[0].line in (line, line - 1, line + 1), found


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ({"raid": [{"name": "m", "level": "0", "devices": ["/dev/a"], "spares": 1}]}, "spares unsupported"),
        ({"files": [{"path": "/a", "contents": {"source": "ftp://x"}}]}, "invalid url scheme"),
        ({"filesystems": [{"device": "/dev/a", "format": "vfat", "label": "x" * 12}]}, "longer than 11"),
        ({"links": [{"path": "/a", "target": "/b"}], "files": [{"path": "/a/b"}]}, "includes link"),
        ({"luks": [{"name": "x/y", "device": "/dev/a"}]}, "cannot contain slashes"),
    ],
)  # fmt: skip
def test_what_only_ignition_itself_knows_is_found_with_path_and_line(storage, says):
    (found,) = check(json.dumps({"ignition": {"version": "3.3.0"}, "storage": storage}, indent=2))
    assert says in found.text and found.field.startswith("storage.") and found.line > 5 and not found.warning


@pytest.mark.parametrize("level", ["0", "raid1", "mirror", "linear", "10"])
def test_what_ignition_takes_is_not_refused(level):
    raid = [{"name": "m", "level": level, "devices": ["/dev/a"]}]
    systems = [{"device": "/dev/b"}]
    text = json.dumps({"ignition": {"version": "3.3.0"}, "storage": {"raid": raid, "filesystems": systems}})
    assert refused(text) == "" and check(text) == []


def test_a_newer_file_is_checked_by_our_rules_and_that_is_said():
    assert [str(one) for one in check('{"ignition": {"version": "3.4.0"}}')] == [
        "newer than ignition-validate knows, so Ignition itself was not asked"
    ]
    text = json.dumps({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "x"}]}})
    assert any("must begin with /" in one.text and not one.warning for one in check(text))


def test_where_ignition_is_not_installed_that_is_said(monkeypatch):
    monkeypatch.setattr("pxe.answers.ignition.validator.PROGRAM", "ignition-validate-is-not-here")
    (found,) = check('{"ignition": {"version": "3.3.0"}}')
    assert found.warning and "apt-get install ignition" in found.text


def test_what_is_no_json_has_a_line():
    assert check('{\n"ignition": {\n]')[0].line == 3
