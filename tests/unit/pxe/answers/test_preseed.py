"""Preseed files: each answer to a question that the installer really asks; what it cannot do is refused."""

import base64
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ks_house import PLAIN, TODAY, profile_from

from pxe.answers.errors import Unfit
from pxe.answers.preseed.check import check
from pxe.answers.preseed.render import render
from pxe.answers.targets import find_target
from pxe.errors import SettingError

DEBIAN = {**TODAY, "firewall": {"enabled": False}, "selinux": None, "network": TODAY["network"][:1]}
DEBIAN["packages"] = {"groups": ["standard", "ssh-server"], "names": ["vim"]}
TARGET = find_target("debian13")


def made(**changes):
    return profile_from({**PLAIN, **changes})


def answers(text):
    return {line.split()[1]: [*line.split(None, 3), ""][3] for line in text.splitlines()}


def late(text):
    packed = re.search(r"echo (\S+) \| base64", answers(text)["preseed/late_command"])
    return base64.b64decode(packed[1]).decode()


@pytest.mark.parametrize("values", [PLAIN, DEBIAN, {}], ids=["plain", "raid and lvm", "nothing"])
@pytest.mark.parametrize("release", [10, 11, 12, 13])
def test_every_answer_is_to_a_question_the_installer_asks(values, release):
    text = render(profile_from(values), find_target(f"debian{release}"), {"disk": "open sesame"})
    assert [str(one) for one in check(text, release)] == []
    # debconf's own reader takes it, too, as far as it looks.
    done = subprocess.run(["debconf-set-selections", "-c"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_disks_on_raid_with_lvm():
    got = answers(render(profile_from(DEBIAN), TARGET, {"disk": "x"}))
    assert got["partman-auto/disk"] == "/dev/sda /dev/sdb"
    assert got["partman-auto-raid/recipe"] == (
        "1 2 0 ext4 /boot /dev/sda3#/dev/sdb3 . 1 2 0 lvm - /dev/sda4#/dev/sdb4 ."
    )
    recipe = got["partman-auto/expert_recipe"]
    assert recipe.count("method{ raid }") == 2
    assert "in_vg{ vg0 } lv_name{ root }" in recipe and "mountpoint{ / }" in recipe


def test_accounts_keys_and_scripts_run_in_the_installed_system():
    script = late(render(profile_from(DEBIAN), TARGET, {"disk": "x"}))
    assert "ssh-ed25519 AAAA root@admin" in script and "ssh-ed25519 BBBB ada" in script
    assert "systemctl enable sshd" in script and "echo first" in script
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0


def test_root_has_no_password_by_default():
    got = answers(render(made(root={"locked": True}), TARGET))
    assert got["passwd/root-password-crypted"] == "*"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"selinux": "enforcing"}, "selinux"),
        ({"firewall": {"enabled": True}}, "firewall"),
        ({"network": [{"device": "eth0"}, {}]}, "network[1].device"),
        ({"network": [{"device": "eth0", "vlan": 5, "method": "static"}]}, "network[0]"),
        ({"network": [{"method": "static"}]}, "network[0].address"),
        ({"source": {"url": "ftp://x/y"}}, "source.url"),
        ({"scripts": [{"when": "onerror", "text": "x\n"}]}, "scripts[0]"),
        ({"users": [{"name": "ada", "full_name": "x\\"}]}, "passwd/user-fullname"),
        ({"scripts": [{"text": "x" * 70000}]}, "scripts"),
    ],
)
def test_what_the_installer_cannot_do_is_refused_with_its_field(changes, field):
    with pytest.raises(Unfit) as refused:
        render(made(**changes), TARGET)
    assert field in {one.field for one in refused.value.findings}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("d-i netcfg/get_hostnam string x", "is it netcfg/get_hostname?"),
        ("d-i passwd/make-user string true", "is of the type boolean"),
        ("d-i passwd/make-user boolean yes", "true or false"),
        ("d-i pkgsel/upgrade select everything", "has no choice everything"),
        ("d-i x", "owner question type value"),
        ("d-i a/b strong x", "no type of debconf's"),
        ("d-i partman/confirm \\\nbolean true", "no type of debconf's"),
    ],
)
def test_what_debconf_itself_lets_through_is_found(line, says):
    found = check(f"# a comment\n\n{line}\n", 13)
    assert len(found) == 1 and says in found[0].text and found[0].line == 3 and not found[0].warning


def test_questions_of_other_packages_are_only_warned_of():
    found = check("postfix postfix/main_mailer_type select none\n", 13)
    assert [one.warning for one in found] == [True]


@given(text=st.text(max_size=30) | st.text(alphabet="\\ #'\"\n\r\u2028d-i", max_size=12))
def test_any_text_stays_in_its_answer(text):
    try:
        once = render(made(users=[{"name": "ada", "full_name": text}], proxy=text or None), TARGET)
    except (SettingError, Unfit):
        return
    plain = render(made(users=[{"name": "ada", "full_name": "A"}]), TARGET)
    assert list(answers(once)) == list(answers(plain))
    assert answers(once)["passwd/user-fullname"].strip() == (text.strip() or "ada")


@given(
    script=st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=40)
)
def test_any_script_arrives_as_it_is(script):
    assert script in late(render(made(scripts=[{"text": script}]), TARGET))
