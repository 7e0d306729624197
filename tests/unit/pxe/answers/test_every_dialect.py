"""What every dialect can say: networks with bonds and VLANs, disks on RAID, LVM and LUKS, scripts that end
themselves; and that no text leaves its place in any of them."""

from __future__ import annotations

import base64
import configparser
import json
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from ks_house import HASH, TODAY

from bootsrv.answers.files import render
from pxe.answers.cloud.nocloud import network_config
from pxe.answers.preseed.late import takes_as_it_is
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target
from pxe.errors import SettingError

SECRETS = {"disk": "open 'sesame' <now> & then"}
SCRIPTS = [{"when": "post", "text": "echo hi\n"}, {"when": "first-boot", "text": "echo first\n"}]
COMMON = {key: TODAY[key] for key in ("hostname", "network", "root", "users", "services")} | {
    "scripts": SCRIPTS
}
DATA = {
    "partitions": [
        {"name": "raid.1", "size": 1024, "disk": "sdb"},
        {"name": "raid.2", "size": 1024, "disk": "sdc"},
        {
            "name": "/var/lib/data",
            "size": 1,
            "grow": True,
            "disk": "sdd",
            "luks": {"passphrase": "secret:disk"},
        },
        {"name": "swap", "size": 512, "disk": "sdd"},
    ],
    "raids": [{"name": "/srv", "device": "md0", "level": "1", "members": ["raid.1", "raid.2"]}],
}
FULL = {
    "rhel9": {"disks": TODAY["disks"]}, "debian13": {"disks": TODAY["disks"]},
    "ubuntu24.04": {"disks": TODAY["disks"]}, "sles15": {"disks": TODAY["disks"]}, "coreos": {"disks": DATA},
    "nocloud": {},
}  # fmt: skip


def made(target: str, **values: Any) -> str:
    done = render(profile_from(values), find_target(target), SECRETS)
    assert done.good, [str(one) for one in done.findings]
    return done.text


def leaves(target: str, text: str) -> list[str]:
    """Every value of the file, unpacked: what a shell or a person finds in it."""
    if target in ("ubuntu24.04", "nocloud"):
        return list(_leaves(yaml.safe_load(text)))
    if target == "coreos":
        found = list(_leaves(json.loads(text)))
        packed = [one for one in found if one.startswith("data:;base64,")]
        return found + [base64.b64decode(one.partition(",")[2]).decode() for one in packed]
    if target.startswith("sles"):
        return [one.text or "" for one in ET.fromstring(text).iter()]
    found = text.splitlines()
    found += [base64.b64decode(one).decode() for one in re.findall(r"echo ([A-Za-z0-9+/=]{8,}) \|", text)]
    return [*found, text]


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, one in value.items() for leaf in (str(key), *_leaves(one))]
    if isinstance(value, list):
        return [leaf for one in value for leaf in _leaves(one)]
    return [str(value)]


@pytest.mark.parametrize("target", FULL)
def test_everything_is_written_and_good_for_its_reader(target: str) -> None:
    text = made(target, **COMMON, **FULL[target])
    found = "\n".join(leaves(target, text))
    if target == "nocloud":
        found += network_config(profile_from(COMMON))
    for word in (
        "n01",
        "10.0.0.2",
        "bond0",
        "eth1",
        "171",
        "active-backup",
        "ssh-ed25519 BBBB ada",
        HASH,
        "sshd",
    ):
        assert word in found, word
    if FULL[target]:
        assert "sesame" in found
        assert any(level in found for level in ("raid1", "raidlevel", "--level=1", "\n1\n", "1 2 0"))


@pytest.mark.parametrize("target", FULL)
def test_a_first_boot_script_is_there_and_takes_itself_away(target: str) -> None:
    found = "\n".join(leaves(target, made(target, **COMMON)))
    assert "echo first" in found and re.search(r"rm -f \S*.*", found)
    before = found.index("echo first")
    assert "rm -f" in found[before:]


@pytest.mark.parametrize("target", FULL)
def test_all_shell_in_it_parses(target: str) -> None:
    nasty = [{"when": when, "text": "echo 'END_OF_FILE' \"$x\"\ncat <<EOF\nEND_OF_STEP\nEOF\n"}
             for when in ("post", "first-boot")]  # fmt: skip
    text = made(target, **COMMON | {"scripts": nasty})
    scripts = [one for one in leaves(target, text) if "END_OF_STEP" in one and "\n" in one]
    if target == "rhel9":
        scripts = re.findall(r"^%post.*?\n(.*?)^%end", text, re.DOTALL | re.MULTILINE)
    assert scripts
    for script in scripts:
        assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0, script


def test_the_network_of_coreos_is_read_by_a_keyfile_reader() -> None:
    config = json.loads(made("coreos", **COMMON))
    files = {one["path"].rpartition("/")[2]: one for one in config["storage"]["files"]}
    assert files["eth0.nmconnection"]["mode"] == 0o600

    def read(name: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None, delimiters="=")
        parser.read_string(base64.b64decode(files[name]["contents"]["source"].partition(",")[2]).decode())
        return parser

    assert read("eth0.nmconnection")["ipv4"]["address1"] == "10.0.0.2/24"
    assert read("bond0.nmconnection")["bond"]["mode"] == "active-backup"
    assert read("eth1.nmconnection")["connection"]["master"] == "bond0"
    assert dict(read("eth3.171.nmconnection")["vlan"]) == {"id": "171", "parent": "eth3"}


def test_debian_gets_its_interfaces_after_netcfg_has_written_its_own() -> None:
    text = made("debian13", **COMMON)
    late = next(line for line in text.splitlines() if "late_command" in line)
    assert "cp /target/etc/network/interfaces /etc/network/interfaces" in "\n".join(leaves("debian13", late))
    script = next(one for one in leaves("debian13", late) if one.startswith("cat > /etc/network/interfaces"))
    assert "    bond-slaves eth1 eth2\n    bond-mode active-backup\n    bond-miimon 100\n" in script
    assert "iface eth3.171 inet dhcp\n    vlan-raw-device eth3\n" in script
    assert "pkgsel/include string ca-certificates openssh-server ifenslave vlan" in text


NASTY = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="'\"\\$`#%\n\r\t\x0b\x85\u2028\ufffe =-;:&|<>(){}[]*?~!@,|>", max_size=15),
    st.sampled_from(
        ["]]>", "<!--", "&lt;", "- a", "{{ x }}", "a: b", "%end", "|", "\\", "!!python/none", "~", "yes"]
    ),
)
# Where a text may be typed, and how deep its own words may lie in the file.
PLACES = {
    "full_name": lambda text: {"users": [{"name": "ada", "full_name": text, "password": HASH}]},
    "home": lambda text: {"users": [{"name": "ada", "home": text}]},
    "key": lambda text: {"users": [{"name": "ada", "keys": [text]}]},
    "root key": lambda text: {"root": {"keys": [text], "locked": True}},
    "hostname": lambda text: {"hostname": text},
    "language": lambda text: {"language": text}, "keyboard": lambda text: {"keyboard": text},
    "timezone": lambda text: {"timezone": text}, "proxy": lambda text: {"proxy": text},
    "service": lambda text: {"services": {"enabled": [text]}},
    "name server": lambda text: {"network": [{"device": "eth0", "method": "static", "address": "10.0.0.2",
                                              "netmask": "255.0.0.0", "name_servers": [text]}]},
    "bond": lambda text: {"network": [{"device": "bond0", "bond_slaves": [text]}]},
    "script": lambda text: {"scripts": [{"text": text}]}, "first boot": lambda text: {
        "scripts": [{"when": "first-boot", "text": text}]},
    "time server": lambda text: {"ntp_servers": [text]},
    "group": lambda text: {"user_groups": [{"name": text}]},
    "groups": lambda text: {"users": [{"name": "ada", "groups": [text]}]},
    "shell": lambda text: {"users": [{"name": "ada", "shell": text}]},
    "kernel arguments": lambda text: {"bootloader": {"append": text}},
    "repository": lambda text: {"repositories": [{"name": "more", "url": text}]},
    "repository's name": lambda text: {"repositories": [{"name": text, "url": "http://x/y"}]},
    "label": lambda text: {"disks": {"partitions": [{"name": "/srv", "disk": "sdb", "label": text}]}},
    "mount options": lambda text: {
        "disks": {"partitions": [{"name": "/srv", "disk": "sdb", "mount_options": text}]}},
    "mount point": lambda text: {"disks": {"partitions": [{"name": f"/{text}", "disk": "sdb"}]}},
    "disk": lambda text: {"disks": {"partitions": [{"name": "/srv", "disk": text}]}},
    "volume": lambda text: {"disks": {
        "partitions": [{"name": "pv.1", "disk": "sdb"}], "groups": [{"name": "vg", "members": ["pv.1"]}],
        "volumes": [{"mount": "/srv", "group": "vg", "name": text, "grow": True}]}},
}  # fmt: skip

# What is taken in a place that does not take any word.
SAFE = {
    "mount options": "noatime", "repository": "http://x/y stable main", "home": "/plainly",
    "shell": "/plainly", "name server": "192.0.2.1", "keyboard": "de", "proxy": "http://plainly/",
}  # fmt: skip


def shape(target: str, text: str, typed: str) -> Any:
    """The file without its texts: what a text must not change. `typed` may name a card."""
    if target in ("ubuntu24.04", "nocloud"):
        return _shape(yaml.safe_load(text), typed)
    if target == "coreos":
        return _shape(json.loads(text), typed)
    if target.startswith("sles"):
        return [(one.tag, sorted(one.attrib.items())) for one in ET.fromstring(text).iter()]
    return [line.split()[:3] for line in text.splitlines()]


def _shape(value: Any, typed: str) -> Any:
    if isinstance(value, dict):
        return {key.replace(typed, "*"): _shape(one, typed) for key, one in value.items()}
    return [_shape(one, typed) for one in value] if isinstance(value, list) else type(value).__name__


def keys(value: Any) -> set[str]:
    """All that a text may be taken for where it stands in the place of a key."""
    if isinstance(value, dict):
        return {*value, *(key for one in value.values() for key in keys(one))}
    return {key for one in value for key in keys(one)} if isinstance(value, list) else set()


@pytest.mark.parametrize("target", [target for target in FULL if target != "rhel9"])
@given(place=st.sampled_from(sorted(PLACES)), text=NASTY)
def test_no_text_leaves_its_place(target: str, place: str, text: str) -> None:
    goal = find_target(target)
    base = {"users": [{"name": "ada"}]} if target == "ubuntu24.04" else {}

    def of(word: str) -> str | None:
        try:
            done = render(profile_from({**base, **PLACES[place](word)}), goal, {})
        except SettingError:
            return None
        return done.text if done.good else None

    safe = "plainly" if of("plainly") is not None else SAFE.get(place, "plainly")
    written, plain = of(text), of(safe)
    if written is None or not text:
        return
    assert plain is not None
    if place == "kernel arguments":  # words on CoreOS; Debian has two places for them
        assume(target != "coreos" or len(text.split()) == 1)
        assume(target != "debian13" or takes_as_it_is(text))
    if target in ("ubuntu24.04", "nocloud", "coreos"):
        assume(not any(text in key for key in keys(yaml.safe_load(plain))))
    assert shape(target, written, text) == shape(target, plain, safe)
    found = leaves(target, written)
    words = text if place not in ("script", "first boot") else text.rstrip("\n")
    if place in ("full_name", "language", "timezone", "hostname") and "." not in text:
        # locale.conf(5) is quoted as a shell's words are.
        ways = (words, words.strip(), shlex.quote(words))
        assert any(way in one for one in found for way in ways) or target.startswith("sles")
