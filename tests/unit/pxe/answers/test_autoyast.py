"""AutoYaST: what is written, and what is found wrong in any file."""

import xml.etree.ElementTree as ET

import pytest
from ks_house import TODAY

from pxe.answers.autoyast.check import check
from pxe.answers.autoyast.render import render
from pxe.answers.autoyast.xml import CONFIG, SPACE
from pxe.answers.errors import Unfit
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target

SLES = find_target("sles15")
HEAD = f'<?xml version="1.0"?>\n<profile xmlns="{SPACE}" xmlns:config="{CONFIG}">\n'


def parsed(**values):
    text = render(profile_from(values), SLES, {"disk": "sesame"})
    assert check(text) == []
    return ET.fromstring(text)


def find(tree, path):
    return [one.text for one in tree.findall("/".join(f"{{{SPACE}}}{name}" for name in path.split("/")))]


def test_disks_are_drives_arrays_and_groups():
    tree = parsed(disks=TODAY["disks"])
    drive = "partitioning/drive"
    assert find(tree, f"{drive}/device") == ["/dev/sda", "/dev/sdb", "/dev/md/md0", "/dev/md/md1", "/dev/vg0"]
    assert find(tree, f"{drive}/partitions/partition/raid_name") == ["/dev/md/md0", "/dev/md/md1"] * 2
    assert find(tree, f"{drive}/partitions/partition/lvm_group") == ["vg0"]
    assert find(tree, f"{drive}/partitions/partition/crypt_key") == ["sesame"]
    assert find(tree, f"{drive}/partitions/partition/lv_name") == ["swap", "root"] or find(
        tree, f"{drive}/partitions/partition/lv_name"
    ) == ["root", "swap"]


def test_a_card_by_its_mac_gets_a_name():
    tree = parsed(network=[{"device": "52:54:00:AA:00:01", "method": "dhcp"}])
    assert find(tree, "networking/net-udev/rule/value") == ["52:54:00:aa:00:01"]
    assert find(tree, "networking/interfaces/interface/name") == ["eth0"]


def test_types_are_said():
    tree = parsed(finish="poweroff")
    halt = tree.find(f".//{{{SPACE}}}final_halt")
    assert halt.text == "true" and halt.get(f"{{{CONFIG}}}type") == "boolean"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"selinux": "enforcing"}, "selinux"),
        ({"scripts": [{"when": "onerror", "text": "x\n"}]}, "scripts[0]"),
        ({"network": [{"method": "static"}]}, "network[0]"),
        ({"network": [{"bond_slaves": [f"e{n}" for n in range(11)]}]}, "network[0].bond_slaves"),
        ({"disks": {"partitions": [{"name": "raid.1", "size": 1}]}}, "disks.partitions[0]"),
        ({"disks": {"partitions": [{"name": "/", "size": 1, "luks": {"passphrase": "secret:x"}}]}},
         "disks.partitions[0].luks"),
        ({"users": [{"name": "ada", "full_name": "\ufffe"}]}, ""),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_with_its_field(changes, field):
    with pytest.raises(Unfit) as refused:
        render(profile_from(changes), SLES)
    assert field in {one.field for one in refused.value.findings}


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("<partitionin/>", 3, "is it partitioning?"),
        ('<general><mode><halt config:type="boolean">maybe</halt></mode></general>', 3, "not 'maybe'"),
        ('<networking>\n<interfaces config:type="list">\n<interface><ipadr>x</ipadr></interface></interfaces>'
         "</networking>", 5, "no ipadr in interface; is it ipaddr?"),
        ("<users><user>ada</user></users>", 3, "holds elements, not text"),
        ('<timezone><timezone config:type="zone">x</timezone></timezone>', 3, "zone is no type"),
        ("<users>", 4, "is no XML"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_found_with_its_line(body, line, says):
    found = check(f"{HEAD}{body}\n</profile>")
    assert any(one.line == line and says in one.text and not one.warning for one in found), found


def test_other_files_and_bombs_are_refused():
    assert "must be a <profile" in check("<html/>")[0].text
    bomb = '<!DOCTYPE profile [<!ENTITY a "b">]>\n<profile/>'
    assert "must not define entities" in check(bomb)[0].text


def test_an_unknown_section_is_only_pointed_out():
    found = check(f"{HEAD}<my_own><x>y</x></my_own>\n</profile>")
    assert [(one.warning, one.line) for one in found] == [(True, 3)]


def test_both_ways_to_write_a_type_are_read():
    text = HEAD.replace(f' xmlns:config="{CONFIG}"', "")
    assert (
        check(f'{text}<general><mode><confirm t="boolean">false</confirm></mode></general></profile>') == []
    )
    assert check(f'{text}<general><mode><confirm t="boolean">no</confirm></mode></general></profile>')
