"""Preseed files: each answer to a question that the installer really asks; what it cannot do is refused."""

import base64
import re
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ks_house import PLAIN, TODAY, profile_from

from pxe.answers.errors import Unfit
from pxe.answers.preseed.check import check
from pxe.answers.preseed.render import render
from pxe.answers.targets import find_target
from pxe.errors import SettingError

DEBIAN = {**TODAY, "firewall": {"enabled": False}, "selinux": None, "network": TODAY["network"][:1]}
DEBIAN["packages"] = {"groups": ["standard", "ssh-server"], "names": ["vim"]}
PLAIN_RAIDS = [
    {name: value for name, value in raid.items() if name != "luks"} for raid in TODAY["disks"]["raids"]
]
OLDER = {**DEBIAN, "disks": {**TODAY["disks"], "raids": PLAIN_RAIDS}}
TARGET = find_target("debian13")


def made(**changes):
    return profile_from({**PLAIN, **changes})


def answers(text):
    return {line.split()[1]: [*line.split(None, 3), ""][3] for line in text.splitlines()}


def late(text):
    packed = re.search(r"echo (\S+) \| base64", answers(text)["preseed/late_command"])
    return base64.b64decode(packed[1]).decode()


@pytest.mark.parametrize("values", [PLAIN, OLDER, {}], ids=["plain", "raid and lvm", "nothing"])
@pytest.mark.parametrize("release", [10, 11, 12, 13])
def test_every_answer_is_to_a_question_the_installer_asks(values, release):
    text = render(profile_from(values), find_target(f"debian{release}"), {"disk": "open sesame"})
    assert [str(one) for one in check(text, release)] == []
    # debconf's own reader takes it, too, as far as it looks.
    done = subprocess.run(["debconf-set-selections", "-c"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def recipe_of(got):
    """The recipe's lines, as partman reads them: words up to a lone dot."""
    words = got["partman-auto/expert_recipe"].split(" :: ")[1]
    return [line.strip() for line in re.split(r"(?:^|\s)\.(?:\s|$)", words) if line.strip()]


def test_disks_on_raid_with_lvm():
    got = answers(render(profile_from(DEBIAN), TARGET, {"disk": "x"}))
    assert got["partman-auto/disk"] == "/dev/sda /dev/sdb" and got["partman-auto/method"] == "raid"
    assert got["partman-auto-raid/recipe"] == (
        "1 2 0 ext4 /boot /dev/sda3#/dev/sdb3 . 1 2 0 crypto-lvm - /dev/sda4#/dev/sdb4 ."
    )
    lines = recipe_of(got)
    assert [line for line in lines if "method{ raid }" in line and "$lvmignore{" in line] == lines[2:4]
    # Volumes are not made as partitions when the recipe is laid on the disks.
    volumes = [line for line in lines if "$lvmok{" in line]
    assert len(volumes) == 2 and all("$defaultignore{" in line for line in volumes)
    assert "lv_name{ root }" in volumes[0] and "mountpoint{ / }" in volumes[0]
    assert got["partman-auto-lvm/new_vg_name"] == "vg0" and got["partman-crypto/passphrase"] == "x"


def test_arrays_have_the_numbers_that_their_partitions_get_and_spares_of_their_own():
    parts = [{"name": "swap", "size": 100, "disk": "nvme0n1"}]
    parts += [
        {"name": f"raid.{n}", "size": 9, "disk": disk} for n, disk in enumerate(("nvme0n1", "sdb", "sdc"))
    ]
    raid = {
        "name": "/",
        "device": "md0",
        "level": "1",
        "spares": 1,
        "members": [f"raid.{n}" for n in range(3)],
    }
    got = answers(render(made(disks={"partitions": parts, "raids": [raid]}), TARGET))
    assert got["partman-auto-raid/recipe"] == "1 2 1 ext4 / /dev/nvme0n1p4#/dev/sdb4 /dev/sdc4 ."


VOLUMES = [
    {"mount": "/", "group": "vg0", "name": "root", "size": 9, "grow": True, "mount_options": "noatime"},
    {"mount": "/srv", "group": "vg0", "name": "srv", "size": 9, "label": "data", "filesystem": "vfat"},
]
ON_LVM = {
    "partitions": [{"name": "/boot", "size": 512}, {"name": "pv.1", "size": 1, "grow": True, "disk": "sda"},
                   {"name": "pv.2", "size": 1, "grow": True, "disk": "sdb"}],
    "groups": [{"name": "vg0", "members": ["pv.1", "pv.2"]}], "volumes": VOLUMES,
}  # fmt: skip


def test_a_group_lies_on_its_own_disks_and_boot_beside_it():
    got = answers(render(made(disks=ON_LVM), TARGET))
    lines = recipe_of(got)
    assert got["partman-auto/method"] == "lvm"
    # On blank disks the second of these is asked, by a real installer.
    assert got["partman-lvm/confirm"] == got["partman-lvm/confirm_nooverwrite"] == "true"
    boot, *held = lines[2:5]
    assert "mountpoint{ /boot }" in boot and "$lvmignore{" not in boot  # it would be left out otherwise
    assert [re.search(r"method\{ lvm \} device\{ (\S+) \}", line)[1] for line in held] == [
        "/dev/sda",
        "/dev/sdb",
    ]
    # Of a group that a recipe names, the installer wants a partition that names it, too.
    assert "in_vg{" not in got["partman-auto/expert_recipe"]
    assert "options/noatime{ noatime }" in lines[5] and "label{ data }" in lines[6]
    assert "filesystem{ fat32 }" in lines[6]


def test_of_an_encrypted_group_nothing_lies_beside_the_encryption():
    disks = {**ON_LVM, "partitions": [ON_LVM["partitions"][0],
                                      {"name": "pv.1", "size": 1, "luks": {"passphrase": "secret:disk"}}],
             "groups": [{"name": "vg0", "members": ["pv.1"]}]}  # fmt: skip
    got = answers(render(made(disks=disks), TARGET, {"disk": "open sesame"}))
    assert got["partman-auto/method"] == "crypto" and got["partman-crypto/passphrase"] == "open sesame"
    assert (
        "method{ lvm }" not in got["partman-auto/expert_recipe"]
    )  # the installer makes its partition itself


PV = {"name": "pv.1", "size": 1, "luks": {"passphrase": "secret:disk"}}
TWO = [{"name": "raid.1", "disk": "sda"}, {"name": "raid.2", "disk": "sdb"}]


@pytest.mark.parametrize(
    ("disks", "field"),
    [
        ({"partitions": [{"name": "/", "luks": {"passphrase": "secret:disk"}}]}, "disks.partitions[0].luks"),
        ({"partitions": [{"name": "/", "disk": "sda"}, {"name": "/srv", "disk": "sdb"}]},
         "disks.partitions[1].disk"),
        ({**ON_LVM, "partitions": [PV, *ON_LVM["partitions"][:1:-1]]}, "disks.partitions[1]"),
        ({**ON_LVM, "partitions": [PV, {**PV, "name": "pv.2"}]}, "disks"),  # no /boot beside it
        ({**ON_LVM, "volumes": [{**VOLUMES[1], "luks": {}}, VOLUMES[0]]}, "disks.volumes[0].luks"),
        ({**ON_LVM, "volumes": VOLUMES[1:]}, "disks.volumes"),  # nothing grows
        ({**ON_LVM, "groups": [{"name": "other", "members": ["pv.1"]}]}, "disks.volumes[0].group"),
        ({**ON_LVM, "groups": [{"name": "vg0", "members": ["pv.9"]}]}, "disks.groups[0].members"),
        ({**ON_LVM, "volumes": [{**VOLUMES[0], "name": "."}]}, "disks.volumes[0].name"),
        ({**ON_LVM, "volumes": [{**VOLUMES[0], "name": "}"}]}, "disks.volumes[0].name"),
        ({"partitions": [{"name": "/", "filesystem": "$lvmok{"}]}, "disks.partitions[0].filesystem"),
        ({"partitions": [{"name": "/", "mount_options": "noatime,data=journal"}]},
         "disks.partitions[0].mount_options"),
        ({"partitions": [{"name": "/", "label": "a }"}]}, "disks.partitions[0].label"),
        ({"partitions": TWO, "raids": [{"name": "/a.b", "device": "md0", "members": ["raid.1", "raid.2"]}]},
         "disks.raids[0]"),
        ({"partitions": TWO[:1], "raids": [{"name": "/", "device": "md0", "members": ["raid.1", "raid.2"]}]},
         "disks.raids[0].members"),
        ({"clear": {"label": "bsd"}}, "disks.clear.label"),
    ],
)  # fmt: skip
def test_plans_that_partman_would_make_something_else_of_are_refused(disks, field):
    with pytest.raises(Unfit) as refused:
        render(made(disks=disks), TARGET, {"disk": "x"})
    assert field in {one.field for one in refused.value.findings}, refused.value


TYPED = {
    "mount": lambda text: {"partitions": [{"name": f"/{text}", "size": 1, "disk": "sda"}]},
    "label": lambda text: {"partitions": [{"name": "/", "label": text}]},
    "filesystem": lambda text: {"partitions": [{"name": "/", "filesystem": text}]},
    "options": lambda text: {"partitions": [{"name": "/", "mount_options": text}]},
    "volume": lambda text: {**ON_LVM, "volumes": [{**VOLUMES[0], "name": text}]},
    "disk": lambda text: {"partitions": [{"name": "pv.1", "disk": text}], "volumes": VOLUMES,
                          "groups": [{"name": "vg0", "members": ["pv.1"]}]},
    "array's disk": lambda text: {"partitions": [TWO[0], {**TWO[1], "disk": text}],
                                  "raids": [{"name": "/", "device": "md0", "members": ["raid.1", "raid.2"]}]},
    "array's place": lambda text: {
        "partitions": TWO, "raids": [{"name": f"/{text}", "device": "md0", "members": ["raid.1", "raid.2"]}]},
}  # fmt: skip


def harmless(place, text):
    """What can be there and does nothing to a recipe, with as many options as the text has."""
    if place == "options":
        return ",".join(one if one in ("", "defaults") else "noatime" for one in text.split(","))
    return "ext3" if place == "filesystem" else "word"


def frame(got):
    """A recipe without the values in it."""
    lines = [re.sub(r"options/\w+\{", "options{", line) for line in recipe_of(got)]
    marks = [[word for word in line.split() if word.endswith("{") or word == "}"] for line in lines]
    arrays = got.get("partman-auto-raid/recipe", "").split(".")
    return marks, [len(one.split()) for one in arrays]


@given(place=st.sampled_from(sorted(TYPED)),
       text=st.text(alphabet="a.}{$ \\:,#'\"/-=\n\u2028", min_size=1, max_size=6)
       | st.text(min_size=1, max_size=8))  # fmt: skip
@example(place="options", text=",")
@example(place="options", text="ro,defaults,sync")
def test_no_text_changes_a_recipe(place, text):
    try:
        got = answers(render(made(disks=TYPED[place](text)), TARGET))
    except (SettingError, Unfit):
        return
    assert frame(got) == frame(answers(render(made(disks=TYPED[place](harmless(place, text))), TARGET)))


def test_arrays_are_encrypted_since_debian_13():
    with pytest.raises(Unfit, match="since Debian 13"):
        render(profile_from(DEBIAN), find_target("debian12"), {"disk": "x"})


def test_what_debian_cannot_be_asked_is_done_by_the_script():
    users = [{"name": "ada", "shell": "/bin/zsh", "groups": ["crew"]}, {"name": "bob"}]
    static = {
        "method": "static",
        "address": "10.0.0.2",
        "netmask": "255.0.0.0",
        "name_servers": ["1.1.1.1", "9.9.9.9"],
    }
    got = render(made(users=users, user_groups=[{"name": "crew", "gid": 70}], network=[static],
                      ntp_servers=["10.0.0.1"], more_languages=["cs_CZ.UTF-8"],
                      bootloader={"boot_drive": "sdb"}), TARGET)  # fmt: skip
    script = late(got)
    assert script.index("groupadd -g 70 crew") < script.index("usermod -aG crew -s /bin/zsh ada")
    assert "echo 'nameserver 9.9.9.9' >> /etc/resolv.conf" in script and "nameserver 1.1.1.1" not in script
    assert answers(got)["localechooser/supported-locales"] == "cs_CZ.UTF-8"
    assert answers(got)["grub-installer/bootdev"] == "/dev/sdb"


def test_a_step_that_must_not_fail_stops_the_installation():
    got = answers(render(made(scripts=[{"text": "false\n", "stop_on_error": True}]), TARGET))[
        "preseed/late_command"
    ]
    assert "in-target sh /root/.answers-late || exit 1" in got


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
        ({"scripts": [{"when": "pre-install", "text": "x\n"}]}, "scripts[0]"),
        ({"scripts": [{"when": "onerror", "text": "x\n", "log": "/x"}]}, "scripts[0].log"),
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


@pytest.mark.parametrize("release", [10, 11, 12])
@pytest.mark.parametrize(
    ("name", "sure"),
    [("netcfg/get_hostnam", True), ("netcfg/get_hostnmae", True), ("passwd/make-users", True),
     ("passwd/root-passwort", True), ("partman-auto/purge_lvm_from_device", False)],
)  # fmt: skip
def test_a_slip_of_the_hand_is_an_error_for_releases_whose_own_list_is_lost_too(release, name, sure):
    found = check(f"d-i {name} string x\n", release)
    assert [one.warning for one in found] == [not sure] and "does not ask" in found[0].text
    assert [one.warning for one in check(f"other {name} string x\n", release)] == [True]


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
