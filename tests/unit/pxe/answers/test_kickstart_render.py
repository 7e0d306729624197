"""Kickstart files for every version, each checked by that version's own parser; and what is refused."""

import shlex

import pytest
from ks_house import HASH, plain, profile

from pxe.answers.errors import Unfit
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.kickstart.render import render
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target
from pxe.errors import ParserFailed, SettingError

EVERY = [f"fedora{n}" for n in range(3, 47)] + [f"rhel{n}" for n in range(3, 12)]


@pytest.fixture(scope="module")
def parser():
    with KickstartParser() as parser:
        yield parser


@pytest.mark.parametrize("name", EVERY)
def test_a_plain_profile_is_accepted_by_every_version(parser, name):
    target = find_target(name)
    found = parser.check(render(plain(), target), target.parser)
    assert [str(one) for one in found if not one.warning] == []


@pytest.mark.parametrize("name", ["rhel7", "rhel8", "rhel9", "rhel10", "fedora30", "fedora42", "fedora46"])
def test_raid_lvm_luks_bonds_and_vlans_are_accepted(parser, name):
    target = find_target(name)
    text = render(profile(), target, {"disk": "top 'secret'"})
    found = parser.check(text, target.parser)
    assert [str(one) for one in found if not one.warning] == []
    passphrase = next(line for line in text.splitlines() if "--passphrase" in line)
    assert "--passphrase=top 'secret'" in shlex.split(passphrase)


def test_red_hat_linux_7_2_gets_its_own_words():
    text = render(plain(), find_target("rhl7.2"))
    lines = text.splitlines()
    assert "install" in lines
    assert "langsupport --default=en_US" in lines
    assert "zerombr yes" in lines
    assert "rootpw --iscrypted '!!'" in lines
    assert "%end" not in lines
    assert any(line.startswith("useradd -m -c 'Ada L'") and HASH in line for line in lines)


@pytest.mark.parametrize(
    ("target", "changes", "field", "words"),
    [
        (
            "rhel10",
            {"legacy": {"auth": {"shadow": True}}},
            "legacy.auth",
            "gone since RHEL 10; use authselect",
        ),
        ("fedora4", {"legacy": {"lilo_check": True}}, "legacy.lilo_check", "gone since Fedora 4"),
        ("rhel9", {"legacy": {"drivers": [{"module": "e100"}]}}, "legacy.drivers[0]", "gone since RHEL 9"),
        ("rhel7", {"legacy": {"mouse": {"type": "generic"}}}, "legacy.mouse", "gone since RHEL 5"),
        ("rhel6", {"firewall": {"level": "high"}}, "firewall.level", "use enabled"),
        ("rhel5", {"network": [{"device": "eth3", "vlan": 171}]}, "network[0].vlan", "came with RHEL 6"),
        ("rhl7.2", {"disks": {"groups": [{"name": "vg"}]}}, "disks.groups[0]", "use partitions"),
        ("rhel9", {"finish": "party"}, "finish", "must be one of reboot, poweroff"),
        (
            "rhel9",
            {"scripts": [{"text": "a\n%end\nb\n"}]},
            "scripts[0].text",
            "line 2 of the script would end it",
        ),
        (
            "rhel9",
            {"proxy": "http://p:3128", "source": {"cdrom": True}},
            "proxy",
            "needs a source with a url",
        ),
    ],
)
def test_what_a_target_does_not_know_is_refused_with_its_field(target, changes, field, words):
    with pytest.raises(Unfit) as refused:
        render(plain(**changes), find_target(target))
    found = [str(one) for one in refused.value.findings if one.field == field]
    assert found and words in found[0]


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(Unfit) as refused:
        render(
            plain(legacy={"auth": {"md5": True}, "lilo_check": True, "interactive": True}),
            find_target("rhel10"),
        )
    fields = {one.field for one in refused.value.findings}
    assert fields == {"legacy.auth", "legacy.lilo_check", "legacy.interactive"}


def test_a_missing_secret_is_named():
    with pytest.raises(Unfit, match="no secret named disk"):
        render(profile(), find_target("rhel9"))


@pytest.mark.parametrize(
    "values",
    [
        {"colour": "red"},
        {"hostname": "a\nb"},
        {"network": [{"vlan": -1}]},
        {"root": {"password": "plain text"}},
    ],
)
def test_values_that_no_installer_can_have_are_refused_with_their_field(values):
    with pytest.raises(SettingError):
        profile_from(values)


def test_a_parser_that_cannot_be_asked_is_no_verdict(monkeypatch):
    monkeypatch.setattr("pxe.answers.kickstart.parser.sys.executable", "/bin/true")
    with KickstartParser() as parser, pytest.raises(ParserFailed, match="run setup"):
        parser.check("text\n", "RHEL9")


def test_the_parser_names_line_and_reason(parser):
    found = parser.check("text\nlang en_US\npart / --size=abc\nnonsense\n", "RHEL9")
    assert {one.line for one in found if not one.warning} == {3, 4}
    assert not parser.check("text\n", "RHEL9")  # and goes on with the next file


@pytest.mark.parametrize("name", ["rhel2", "fedora99", "windows", ""])
def test_unknown_targets_are_refused_with_what_there_is(name):
    with pytest.raises(SettingError, match=r"rhl7\.2"):
        find_target(name)
