"""What an administrator meets: steps that end early, a trunk of VLANs, a way in, what waits for a person."""

import base64
import re
import subprocess

import pytest
import yaml
from ks_house import HASH

from bootsrv.answers import files
from bootsrv.answers.files import render
from bootsrv.errors import Invalid
from pxe.answers.kickstart.importer import read_kickstart
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target
from pxe.errors import SettingError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx me@x"
PLAN = {"disks": {"automatic": {}}}
TRUNK = [
    {"device": "bond0", "bond_slaves": ["eno1", "eno2"], "bond_options": "mode=802.3ad", "method": "none"},
    {"device": "bond0", "vlan": 171, "method": "static", "address": "10.1.1.2", "netmask": "255.255.255.0"},
]


@pytest.fixture(scope="module")
def parser():
    with KickstartParser() as parser:
        yield parser


def done(name, **values):
    return render(profile_from(values), find_target(name), {})


def said(name, **values):
    return {one.field: one.text for one in done(name, **values).findings}


def answer(text, name):
    return next(line.split(None, 3)[3] for line in text.splitlines() if line.split()[1] == name)


@pytest.mark.parametrize(
    ("question", "steps"),
    [("preseed/early_command", {"when": "pre"}), ("preseed/late_command", {"outside": True})],
)
def test_each_step_in_debians_installer_is_a_script_of_its_own(tmp_path, question, steps):
    texts = ["echo one; exit 0", "echo two", "echo '100%'"]  # no line feed at their ends
    text = done("debian13", scripts=[{**steps, "text": one} for one in texts]).text
    command = re.sub(r"/run/answers-\w+", str(tmp_path / "step"), answer(text, question))
    command = command.replace("chroot /target ", "")
    ran = subprocess.run(["dash", "-c", command], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("one\ntwo\n100%\n", "", 0)


@pytest.mark.parametrize("question", ["early", "late"])
def test_a_step_that_ends_badly_does_not_make_debians_installer_wait_for_a_key(tmp_path, question):
    steps = [{"when": "pre", "text": "false"}, {"outside": True, "text": "false"}]
    command = answer(done("debian13", scripts=steps).text, f"preseed/{question}_command")
    command = re.sub(r"/run/answers-\w+", str(tmp_path / "step"), command).replace("chroot /target ", "")
    assert subprocess.run(["dash", "-c", command]).returncode == 0


@pytest.mark.parametrize(("text", "ends", "said"), [("false", 1, "told\n"), ("true", 0, "outside\n")])
def test_what_must_not_fail_in_debians_late_command_is_told_before_the_installer_stops(
    tmp_path, text, ends, said
):
    steps = [{"text": text, "stop_on_error": True}, {"outside": True, "text": "echo outside"},
             {"when": "onerror", "text": "echo told"}]  # fmt: skip
    command = answer(done("debian13", scripts=steps).text, "preseed/late_command")
    command = re.sub(r"/run/answers-\w+", str(tmp_path / "step"), command).replace("chroot /target ", "")
    command = command.replace("/root/", f"{tmp_path}/")
    inside = base64.b64decode(re.search(r"echo (\S+) \| base64", command)[1]).decode()
    packed = base64.b64encode(inside.replace("/root/", f"{tmp_path}/").encode()).decode()
    command = re.sub(r"echo \S+ \| base64", f"echo {packed} | base64", command, count=1)
    ran = subprocess.run(["dash", "-c", f'in-target() {{ "$@"; }}\n{command}'.replace("in-target", "inside")],
                         capture_output=True, text=True)  # fmt: skip
    assert (ran.returncode, ran.stdout) == (ends, said), ran.stderr


DISKS = """
list-devices() {{ echo {disks}; }}
readlink() {{ echo /sys/devices/$(cat $2/bus)/block/${{2##*/}}; }}
debconf-get() {{ cat answers/$(echo $1 | tr / _) 2>/dev/null; }}
debconf-set() {{ echo "$2" > answers/$(echo $1 | tr / _); }}
"""


@pytest.mark.parametrize(
    ("have", "given", "chosen"),
    [
        ({"sda": (90, 0, "pci")}, "", ""),  # the only one: the installer takes it by itself
        ({"sda": (90, 0, "pci"), "sdb": (50, 0, "pci"), "sdc": (50, 0, "pci")}, "", "/dev/sdb"),
        ({"sda": (2, 0, "pci"), "sdb": (40, 0, "usb1"), "sdc": (50, 1, "pci"), "nvme0n1": (90, 0, "pci")}, "",
         "/dev/nvme0n1"),
        ({"sda": (90, 0, "pci"), "cciss!c0d0": (50, 0, "pci")}, "", "/dev/cciss/c0d0"),
        ({"sda": (90, 0, "pci"), "sdb": (50, 0, "pci")}, "/dev/sda", "/dev/sda"),
        ({"sda": (9, 0, "pci"), "sdb": (9, 0, "pci")}, "", ""),
    ],
)  # fmt: skip
def test_of_several_disks_debians_installer_is_told_the_smallest_that_is_large_enough(
    tmp_path, have, given, chosen
):
    plan = {"partitions": [{"name": "/", "size": 20 * 1024, "grow": True}]}
    command = answer(done("debian13", disks=plan).text, "partman/early_command")
    for name, (gigabytes, removable, bus) in have.items():
        for file, value in (("size", gigabytes << 21), ("removable", removable), ("bus", bus)):
            (tmp_path / "block" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "block" / name / file).write_text(f"{value}\n")
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/grub-installer_bootdev").write_text("default\n")
    if given:
        (tmp_path / "answers/partman-auto_disk").write_text(f"{given}\n")
    house = DISKS.format(disks=" ".join(f"/dev/{name.replace('!', '/')}" for name in have))
    script = (house + command.replace("/sys/block", "block")).replace("-devices", "_devices")
    script = script.replace("debconf-", "debconf_")
    ran = subprocess.run(["busybox", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = {path.name: path.read_text().strip() for path in (tmp_path / "answers").iterdir()}
    assert told.get("partman-auto_disk", "") == chosen
    assert told["grub-installer_bootdev"] == (chosen or "default")


def test_a_disk_that_is_named_is_not_chosen():
    text = done("debian13", disks={"only": ["sda"]}).text
    assert "early_command" not in text and answer(text, "partman-auto/disk") == "/dev/sda"


def test_a_bond_without_an_address_is_there_for_the_vlans_on_it(parser):
    text = done("rhel9", network=TRUNK, **PLAN).text
    bond = next(line for line in text.splitlines() if "--bondslaves" in line)
    assert "--noipv4 --noipv6" in bond and "--device=bond0" in bond
    assert [str(one) for one in parser.check(text, "RHEL9")] == []
    for name in ("ubuntu24.04", "nocloud"):
        made = done(name, network=TRUNK, users=[{"name": "ops", "password": HASH}])
        plan = yaml.safe_load(made.beside.get("network-config") or made.text)
        plan = plan.get("autoinstall", {}).get("network", plan)
        assert plan["bonds"]["bond0"] == {"interfaces": ["eno1", "eno2"], "parameters": {"mode": "802.3ad"}}
        assert plan["vlans"]["bond0.171"]["link"] == "bond0" and "bond0" not in plan["ethernets"]


def test_debian_does_not_install_over_a_card_that_is_to_be_left_alone():
    cards = [{"device": "eno9", "method": "none"}, {"device": "eno1"}]
    assert answer(done("debian13", network=cards).text, "netcfg/choose_interface") == "eno1"


def test_a_debian_with_keys_has_a_server_that_takes_them():
    assert "openssh-server" in answer(done("debian13", root={"keys": [KEY]}).text, "pkgsel/include").split()
    users = [{"name": "ops", "keys": [KEY]}]
    assert "openssh-server" in answer(done("debian12", users=users).text, "pkgsel/include").split()
    assert "openssh-server" not in done("debian13").text


@pytest.mark.parametrize(
    ("line", "ends"),
    [("%end", True), (" %end now", True), ("%post", True), ("%include x", True), ("%ksappendix", True),
     ("%end-of-it", False), ("%endless", False), ("%postfix", False), ("date +%end", False)],
)  # fmt: skip
def test_a_script_is_refused_for_the_lines_that_end_it_and_for_no_others(parser, line, ends):
    got = done("rhel9", scripts=[{"text": f"cat <<X\n{line}\nX\n"}], **PLAN)
    assert got.good is not ends
    if got.good:
        assert f"\n{line}\n" in got.text and not parser.check(got.text, "RHEL9")


@pytest.mark.parametrize(
    "line",
    ["rootpw swordfish", "rootpw --plaintext swordfish", "user --name=x --password=swordfish",
     "user --name=x --password swordfish", "bootloader --password=swordfish", "sshpw --username x swordfish",
     "sshpw --username=x the swordfish is blue",
     "realm join --one-time-password=swordfish lab", "rhsm --organization=1 --activation-key=swordfish"],
)  # fmt: skip
def test_no_kept_line_has_a_password_in_the_clear(line):
    assert "swordfish" not in str(read_kickstart(line, lambda plain: HASH).profile)
    found = said("rhel9", raw=[{"lines": [line]}], **PLAN)
    assert found["raw[0]"] == "a password in the clear; give its hash, or secret:NAME"


@pytest.mark.parametrize(
    "line", [f"rootpw --iscrypted {HASH}", "sshpw --username=x --iscrypted abcdefghijklm", "rootpw --lock",
             "bootloader --md5pass=$1$a$b", "sshpw --username=x --sshkey ssh-ed25519 AAAA me",
             "realm join --no-password lab", "raid / --device=md0 --encrypted --backuppassphrase raid.01",
             "user --name=x --iscrypted --password=abcdefghijklm"]
)  # fmt: skip
def test_a_hash_is_no_password_in_the_clear(line):
    assert "raw[0]" not in said("rhel9", raw=[{"lines": [line]}], **PLAN)


def test_a_password_of_several_words_is_one():
    got = read_kickstart("sshpw --username=x a long one\n", lambda plain: f"<{plain}>")
    assert got.profile.raw[0].lines == ("sshpw --username=x --iscrypted '<a long one>'",)


def test_a_byte_order_mark_is_named_and_taken_away():
    text = "\ufefflang en_US.UTF-8\nkeyboard us\nrootpw --lock\n"
    got = read_kickstart(text, lambda plain: HASH)
    assert got.profile.language == "en_US.UTF-8" and not got.profile.raw
    assert [(one.line, one.warning) for one in got.notes] == [(1, True)]
    found = files.validate(text, find_target("rhel9"))
    assert [str(one) for one in found] == [
        "line 1: a byte order mark stands in front, which its reader takes for text"
    ]


def test_a_plain_password_where_a_hash_belongs_is_found():
    identity = "{hostname: a, username: b, password: PW}"
    user_data = f"#cloud-config\nautoinstall:\n  version: 1\n  identity: {identity}\n"
    bad = files.validate(user_data.replace("PW", "plain"), find_target("ubuntu24.04"))
    assert [(one.field, one.line) for one in bad] == [("autoinstall.identity.password", 4)]
    assert not files.validate(user_data.replace("PW", f"'{HASH}'"), find_target("ubuntu24.04"))
    for name in ("passwd/root-password-crypted", "passwd/user-password-crypted"):
        bad = files.validate(f"d-i {name} password plain\n", find_target("debian13"))
        assert [one.line for one in bad if not one.warning] == [1]
        for good in (HASH, "*", "!"):
            assert not files.validate(f"d-i {name} password {good}\n", find_target("debian13"))


def test_what_would_wait_for_a_person_is_a_note():
    assert said("rhel9", timezone="Europe/Nowhere", **PLAN) == {
        "timezone": "no time zone is called Europe/Nowhere"
    }
    assert "Anaconda would ask" in said("rhel9")["disks"]
    for plan in ({"raw": [{"lines": ["%include /tmp/plan"]}]}, {"raw": [{"lines": ["autopart"]}]}, PLAN):
        assert said("rhel9", **plan) == {}
    assert done("rhel9").good
    assert said("debian13") == {}


def test_two_keys_of_an_account_are_no_mistake():
    assert said("rhel9", root={"keys": [KEY, f"{KEY}2"]}, **PLAN) == {}


def test_a_file_with_snippets_and_templates_is_rendered_and_compared(tmp_path):
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text('target = "debian13"\n[[scripts]]\nsnippet = "no-root-login"\n')
    other.write_text('target = "debian13"\nhostname = "{{ node.name }}"\n')
    assert "PermitRootLogin" in files.load_profile(one).scripts[0].text
    with pytest.raises(Invalid, match="'node' is undefined; templates are filled for a node"):
        files.load_profile(other)
    assert '-snippet = "no-root-login"\n' in files.compare(one, other)
    assert '+hostname = "{{ node.name }}"\n' in files.compare(one, other)
    assert files.compare(one, one) == ""


CARD = {"device": "eth0", "method": "static", "address": "10.0.0.5", "netmask": "255.255.255.0"}
OPS = {"users": [{"name": "ops", "password": HASH}]}


@pytest.mark.parametrize("name", ["rhel9", "rhl7.2", "debian13", "ubuntu24.04", "sles15", "nocloud"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("address", "10.0.0.999"), ("netmask", "255.0.255.0"), ("gateway", "10.0.0"), ("name_servers", ["dns1"]),
     ("ipv6", "fe80"), ("ipv6_gateway", "10.0.0.1"), ("vlan", 4095)],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_for_every_system(name, field, value):
    got = done(name, network=[{**CARD, field: value}], **OPS)
    assert not got.good and f"network[0].{field}" in {one.field for one in got.findings if not one.warning}


def test_a_gateway_out_of_reach_is_a_note():
    found = said("rhel9", network=[{**CARD, "gateway": "10.0.1.1"}], **PLAN)
    assert found == {"network[0].gateway": "10.0.1.1 is not in 10.0.0.0/24"}
    assert said("rhel9", network=[{**CARD, "gateway": "10.0.0.1", "name_servers": ["::1"]}], **PLAN) == {}


@pytest.mark.parametrize(
    ("url", "good"),
    [("http://a/x", False), ("http://a/x bookworm", False), ("http://a/x bookworm main", True),
     ("http://a/x ./", True), ("[trusted=yes arch=amd64] http://a/x ./", True),
     ("http://a/x ./ main", False)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["debian12", "ubuntu24.04"])
def test_a_repository_is_as_apt_has_it(name, url, good):
    found = done(name, repositories=[{"name": "r", "url": url}], **OPS)
    assert found.good is good
    wrong = [one.field for one in found.findings if not one.warning]
    assert wrong == ([] if good else ["repositories[0].url"])


def test_ubuntu_lets_one_grow_and_no_disk_go_without_its_encryption():
    parts = [{"name": "/", "size": 9000, "grow": True}, {"name": "/srv", "size": 9000, "grow": True}]
    assert "disks.partitions[1].grow" in said("ubuntu24.04", disks={"partitions": parts}, **OPS)
    parts[1]["disk"], parts[0]["disk"] = "sda", "sdb"
    assert done("ubuntu24.04", disks={"partitions": parts}, **OPS).good
    assert not done("ubuntu24.04", disks={"automatic": {"luks": {}}}, **OPS).good
    raid = {"name": "/x", "device": "md0", "level": "eleven", "members": []}
    assert not done("ubuntu24.04", disks={"partitions": parts, "raids": [raid]}, **OPS).good


def test_a_passphrase_that_somebody_must_type_is_a_note():
    found = said("rhel9", disks={"automatic": {"luks": {}}})
    assert found == {"disks.automatic.luks": "the passphrase is asked for on the console; give secret:NAME"}


def test_a_partition_that_nothing_uses_is_refused():
    assert "disks.partitions[0].name" in said("rhel9", disks={"partitions": [{"name": "banana", "size": 9}]})
    for name in ("/", "swap", "raid.01", "pv.a", "biosboot"):
        assert done("rhel9", disks={"partitions": [{"name": name, "size": 9}]}).good


@pytest.mark.parametrize(
    ("end", "last"),
    [('rootpw "x\n', (4, "No closing quotation")),
     ("%packages\n@core\n%post\n%end\n", (6, "%packages does not end"))],
)  # fmt: skip
def test_where_the_parser_stops_it_has_told_of_all_before(parser, end, last):
    found = parser.check(f"install\nlang en_US\nfoo\n{end}", "RHEL9")
    assert [one.line for one in found] == [1, 3, last[0]] and last[1] in found[-1].text


@pytest.mark.parametrize("nasty", ['"; touch x; "', "$(touch x)", "`touch x`", "a!b&c", "a\\b"])
def test_words_of_debians_kernel_are_no_shell_of_the_installed_system(nasty, tmp_path):
    text = done("debian13", bootloader={"append": f"quiet {nasty}"}).text
    assert "add-kernel-opts" not in text
    packed = re.search(r"echo (\S+) \| base64", answer(text, "preseed/late_command"))
    script = base64.b64decode(packed[1]).decode().replace("/etc/default/grub.d", str(tmp_path))
    script = script.replace("update-grub", f". {tmp_path}/answers.cfg; printf '%s' \"$GRUB_CMDLINE_LINUX\"")
    ran = subprocess.run(["dash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ran.stdout == f" quiet {nasty}" and not (tmp_path / "x").exists()
    plain = done("debian13", bootloader={"append": "quiet console=ttyS0,115200n8"}).text
    assert answer(plain, "debian-installer/add-kernel-opts") == "quiet console=ttyS0,115200n8"


@pytest.mark.parametrize(
    ("field", "value"),
    [("full_name", "Ada: the L"), ("home", "home/ada"), ("home", "/a:b"), ("shell", "/bin/my sh"),
     ("shell", "zsh")],
)  # fmt: skip
def test_what_cannot_stand_in_passwd_is_refused(field, value):
    with pytest.raises(SettingError, match=rf"users\[0\]\.{field}"):
        profile_from({"users": [{"name": "ada", field: value}]})


def test_log_ins_that_let_nobody_in_are_notes():
    new = {"root": {"password": "$y$j9T$abc$def", "keys": ["me@desk", KEY, f'from="10.*" {KEY}']}, **PLAN}
    assert said("rhel8", **new) == {
        "root.password": "yescrypt is newer than rhel8; `bootsrv answers hash` makes a hash that it knows",
        "root.keys[0]": "this is no public key of ssh",
    }
    assert set(said("rhel9", **new)) == {"root.keys[0]"}
