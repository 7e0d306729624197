"""Autoinstall and NoCloud: each value where cloud-init looks for it, checked by schema, read back by YAML."""

import subprocess

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ks_house import HASH, PLAIN, TODAY, profile_from

from bootsrv.answers import files
from pxe.answers.cloud import nocloud
from pxe.answers.cloud.autoinstall import render
from pxe.answers.cloud.check import check
from pxe.answers.errors import Unfit
from pxe.answers.targets import find_target
from pxe.errors import SettingError

TARGET = find_target("ubuntu24.04")
UBUNTU = {**TODAY, "firewall": None, "selinux": None, "packages": {"names": ["vim"]}}
SMALL = {"users": [{"name": "ada", "password": HASH, "keys": ["ssh-ed25519 AAAA"]}], "hostname": "n01"}


def values(text):
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)["autoinstall"]


@pytest.mark.parametrize("given", [UBUNTU, SMALL], ids=["everything", "small"])
def test_what_is_written_passes_the_schema(given):
    assert check(render(profile_from(given), TARGET, {"disk": "x"})) == []


def test_raid_lvm_and_luks_are_joined_by_their_ids():
    config = values(render(profile_from(UBUNTU), TARGET, {"disk": "open sesame"}))["storage"]["config"]
    ids = [one["id"] for one in config]
    assert len(ids) == len(set(ids))
    for one in config:
        for key in ("device", "volume"):
            assert one.get(key, ids[0]) in ids[: ids.index(one["id"])] or key not in one
        assert set(one.get("devices", ())) <= set(ids[: ids.index(one["id"])])
    crypt = next(one for one in config if one["type"] == "dm_crypt")
    assert crypt["key"] == "open sesame" and crypt["volume"] == "raid-md1"
    assert next(one for one in config if one["type"] == "lvm_volgroup")["devices"] == [crypt["id"]]
    mounts = {one["path"] for one in config if one["type"] == "mount"}
    assert mounts == {"/", "/boot", "/boot/efi", ""}


def test_the_network_is_netplan():
    network = values(render(profile_from(UBUNTU), TARGET, {"disk": "x"}))["network"]
    assert network["ethernets"]["eth0"]["addresses"] == ["10.0.0.2/24"]
    assert network["ethernets"]["eth0"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    assert network["bonds"]["bond0"]["parameters"] == {"mode": "active-backup", "mii-monitor-interval": 100}
    assert network["vlans"]["eth3.171"]["link"] == "eth3" and "eth3" in network["ethernets"]
    by_mac = profile_from({**SMALL, "network": [{"device": "52:54:00:AA:BB:01"}]})
    assert "52:54:00:aa:bb:01" in str(values(render(by_mac, TARGET))["network"])


def test_scripts_are_shell_that_parses():
    for command in values(render(profile_from(UBUNTU), TARGET, {"disk": "x"}))["late-commands"]:
        assert subprocess.run(["sh", "-n"], input=command[-1], text=True).returncode == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"users": []}, "users"),
        ({"selinux": "enforcing"}, "selinux"),
        ({"packages": {"groups": ["core"]}}, "packages.groups"),
        ({"finish": "none"}, "finish"),
        ({"network": [{"method": "ibft"}]}, "network[0].method"),
        ({"network": [{"method": "static", "address": "1.2.3.4", "netmask": "x"}]}, "network[0].netmask"),
        ({"disks": {"partitions": [{"name": "/", "luks": {}}]}}, "disks"),
        (
            {"disks": {"partitions": [{"name": "/"}], "groups": [{"name": "v", "members": ["pv.1"]}]}},
            "disks.groups",
        ),
    ],
)
def test_what_the_installer_cannot_do_is_refused_with_its_field(changes, field):
    with pytest.raises(Unfit) as refused:
        render(profile_from({**SMALL, **changes}), TARGET)
    assert field in {one.field for one in refused.value.findings}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("autoinstall: {version: 1}\n", 1, "first line must be"),
        ("#cloud-config\na: [\n", 3, "expected"),
        ("#cloud-config\nusers: []\n", 1, "no autoinstall"),
        ("#cloud-config\nautoinstall:\n  version: 2\n", 3, "1 was expected"),
        ("#cloud-config\nautoinstall:\n  version: 1\n  colour: red\n", 3, "colour"),
        ("#cloud-config\nautoinstall:\n  version: 1\n  ssh:\n    allow-pw: sometimes\n", 5, "not of type"),
        (
            "#cloud-config\nautoinstall:\n  version: 1\n"
            "  storage:\n    config:\n    - {id: a, type: format}\n",
            6,
            "required",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_found_with_its_line(text, line, says):
    found = check(text)
    assert found and found[0].line == line and says in found[0].text


@pytest.mark.parametrize(
    "network, good",
    [("{version: 2, ethernets: {}}", True), ("{network: {version: 2}}", True), ("null", True),
     ("{ethernets: {}}", False), ("{version: 1}", False), ("{network: {}}", False)],
)  # fmt: skip
def test_a_network_says_its_version_as_netplan_has_it_or_one_level_deeper(network, good):
    found = check(f"#cloud-config\nautoinstall:\n  version: 1\n  network: {network}\n")
    assert (found == []) == good, found
    assert all(one.line == 4 for one in found)


@given(text=st.text(max_size=30) | st.text(alphabet="'\"\\:#-{}[]\n\r\t\x85\u2028 &*!|>%@`", max_size=12))
def test_any_text_reads_back_as_itself(text):
    given = {**SMALL, "users": [{"name": "ada", "full_name": text}], "proxy": text or None}
    try:
        written = render(profile_from(given), TARGET)
    except (SettingError, Unfit):
        return
    got = values(written)
    assert got["identity"]["realname"] == text and got.get("proxy") == (text or None)
    assert check(written) == []


def test_a_ready_image_gets_accounts_network_and_scripts():
    given = {**SMALL, "network": UBUNTU["network"][:1], "scripts": [{"text": "echo 'a\"b'\n"}],
             "root": {"locked": True, "keys": ["ssh-ed25519 ROOT"]}}  # fmt: skip
    made = profile_from(given)
    got = yaml.safe_load(nocloud.render(made, find_target("nocloud")))
    assert got["users"][0] == {
        "name": "root",
        "lock_passwd": True,
        "ssh_authorized_keys": ["ssh-ed25519 ROOT"],
    }
    assert got["users"][1]["hashed_passwd"] == HASH and got["hostname"] == "n01"
    assert "echo 'a\"b'" in got["runcmd"][0][-1]
    assert yaml.safe_load(nocloud.meta_data("i-1", "n01")) == {"instance-id": "i-1", "local-hostname": "n01"}
    assert yaml.safe_load(nocloud.network_config(made))["ethernets"]["eth0"]["addresses"] == ["10.0.0.2/24"]
    assert nocloud.network_config(profile_from(SMALL)) == ""


def test_what_needs_an_installer_is_refused_for_a_ready_image():
    done = files.render(profile_from(PLAIN), find_target("nocloud"), {})
    assert {one.field for one in done.findings if not one.warning} == {
        "disks",
        "bootloader",
        "packages.groups",
    }
    assert done.text == ""
