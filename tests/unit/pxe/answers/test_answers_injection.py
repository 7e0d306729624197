"""Nothing a person types leaves its place: any text in any field is refused, or reads back as itself."""

import shlex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ks_house import hasher, plain

from pxe.answers.errors import Unfit
from pxe.answers.kickstart.importer import read_kickstart
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.kickstart.render import render
from pxe.answers.targets import find_target
from pxe.errors import SettingError

NASTY = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="'\"\\$`#%\n\r\t\x0b\x1c\x85\u2028 =-;&|<>(){}[]*?~!@,a:", max_size=20),
    st.sampled_from(
        [
            "%end",
            "\n%post\nreboot\n%end",
            "x --lock",
            "' --iscrypted 'x",
            "a#b",
            "%include /etc/passwd",
            "a\u2028%end\u2028",
            "-x",
            "--lock",
            "",
            " ",
            "\\",
        ]
    ),
)

# Where a text may be typed: how it is put there, and what is read back.
PLACES = {
    "bootloader.append": (lambda t: {"bootloader": {"append": t}}, lambda p: p.bootloader.append),
    "users.full_name": (
        lambda t: {"users": [{"name": "ada", "full_name": t}]},
        lambda p: p.users[0].full_name,
    ),
    "users.home": (lambda t: {"users": [{"name": "ada", "home": t}]}, lambda p: p.users[0].home),
    "root.keys": (lambda t: {"root": {"locked": True, "keys": [t]}}, lambda p: p.root.keys[0]),
    "source.url": (lambda t: {"source": {"url": t}}, lambda p: p.source.url),
    "source.directory": (
        lambda t: {"source": {"nfs_server": "h", "directory": t}},
        lambda p: p.source.directory,
    ),
    "repositories.url": (
        lambda t: {"repositories": [{"name": "r", "url": t}]},
        lambda p: p.repositories[0].url,
    ),
    "network.ethtool": (
        lambda t: {"network": [{"device": "e", "ethtool": t}]},
        lambda p: p.network[0].ethtool,
    ),
    "network.device": (lambda t: {"network": [{"device": t}]}, lambda p: p.network[0].device),
    "network.name_servers": (
        lambda t: {"network": [{"name_servers": [t]}]},
        lambda p: p.network[0].name_servers[0],
    ),
    "hostname": (lambda t: {"hostname": t, "network": []}, lambda p: p.hostname),
    "language": (lambda t: {"language": t}, lambda p: p.language),
    "timezone": (lambda t: {"timezone": t}, lambda p: p.timezone),
    "keyboard": (lambda t: {"keyboard": t}, lambda p: p.keyboard),
    "layouts": (lambda t: {"layouts": [t]}, lambda p: p.layouts[0]),
    "services": (lambda t: {"services": {"enabled": [t]}}, lambda p: p.services.enabled[0]),
    "packages.names": (lambda t: {"packages": {"names": [t]}}, lambda p: p.packages.names[0]),
    "packages.groups": (lambda t: {"packages": {"groups": [t]}}, lambda p: p.packages.groups[0]),
    "partition.name": (
        lambda t: {"disks": {"partitions": [{"name": t, "size": 1}]}},
        lambda p: p.disks.partitions[0].name,
    ),
    "partition.label": (
        lambda t: {"disks": {"partitions": [{"name": "/", "size": 1, "label": t}]}},
        lambda p: p.disks.partitions[0].label,
    ),
    "legacy.authselect": (
        lambda t: {"legacy": {"authselect": t}},
        lambda p: p.legacy.authselect and shlex.split(p.legacy.authselect),
    ),
    "scripts.text": (lambda t: {"scripts": [{"text": t}]}, lambda p: p.scripts[0].text),
    "scripts.interpreter": (
        lambda t: {"scripts": [{"text": "x\n", "interpreter": t}]},
        lambda p: p.scripts[0].interpreter,
    ),
}


def ended(text):
    return text if text.endswith("\n") or not text else text + "\n"


@pytest.mark.parametrize("place", PLACES)
@given(text=NASTY)
def test_any_text_in_any_field_reads_back_as_itself(place, text):
    put, get = PLACES[place]
    try:
        made = plain(**put(text))
        written = render(made, find_target("fedora42"))
    except (SettingError, Unfit):
        return
    back = read_kickstart(written, hasher).profile
    want, got = get(made), get(back)
    assert (
        (ended(got), len(back.scripts)) == (ended(want), len(made.scripts))
        if place == "scripts.text"
        else (got or None) == (want or None)
    )
    # Nothing else came or went.
    assert [user.name for user in back.users] == [user.name for user in made.users]
    assert back.root.locked and not back.raw


@pytest.mark.parametrize("text", ["select sssd 'with blank", "select sssd \\", "  "])
def test_words_that_no_shell_could_split_are_refused(text):
    with pytest.raises(Unfit, match=r"legacy\.authselect"):
        render(plain(legacy={"authselect": text}), find_target("fedora42"))


@pytest.mark.parametrize(
    ("text", "line"),
    [("select sssd with-mkhomedir", "authselect select sssd with-mkhomedir"),
     ("select minimal # not today", "authselect select minimal '#' not today"),
     ("select custom/a\\ b", "authselect select 'custom/a b'"),
     ("select x;reboot", "authselect select 'x;reboot'")],
)  # fmt: skip
def test_the_words_of_authselect_are_quoted_each(text, line):
    assert line in render(plain(legacy={"authselect": text}), find_target("fedora42")).splitlines()


@given(text=NASTY, secret=NASTY)
def test_a_passphrase_is_one_word_or_refused(text, secret):
    disks = {"partitions": [{"name": "/", "size": 1, "luks": {"passphrase": "secret:a"}}]}
    try:
        written = render(plain(disks=disks), find_target("rhel9"), {"a": secret})
    except Unfit:
        return
    line = next(line for line in written.splitlines() if line.startswith("part / "))
    assert f"--passphrase={secret}" in shlex.split(line)


@pytest.mark.parametrize("secret", ["open sesame", "x' --lock 'y", 'a"b'])
def test_a_secret_is_put_in_where_it_is_named_and_nowhere_else(secret):
    named = "x --passphrase=secret:a y"
    disks = {"partitions": [{"name": "/", "size": 1, "luks": {"passphrase": "secret:a"}}]}
    values = {"bootloader": {"append": named}, "scripts": [{"text": f"echo {named}\n"}], "disks": disks}
    written = render(plain(**values), find_target("rhel9"), {"a": secret}).splitlines()
    assert f"echo {named}" in written
    assert f"--append={named}" in shlex.split(
        next(line for line in written if line.startswith("bootloader "))
    )
    assert f"--passphrase={secret}" in shlex.split(
        next(line for line in written if line.startswith("part / "))
    )


@pytest.mark.parametrize(
    "values",
    [
        {"disks": {"partitions": [{"name": "/", "size": 1, "luks": {"passphrase": "open sesame"}}]}},
        {"disks": {"automatic": {"luks": {"passphrase": "secret:a b"}}}},
        {"bootloader": {"password": "swordfish"}},
        {"root": {"password": "swordfish"}},
        {"users": [{"name": "ada", "password": "sword:fish12!"}]},
    ],
)
def test_no_password_is_taken_in_the_clear(values):
    with pytest.raises(SettingError, match=r"must be (a password's hash|a hash|secret:NAME)"):
        plain(**values)


def test_the_installers_own_parser_reads_the_nastiest_words():
    name = "a'b\"c\\d$e`f#g%h;i|j&k=l --lock"
    target = find_target("fedora42")
    text = render(plain(bootloader={"append": name}, users=[{"name": "ada", "full_name": name}]), target)
    with KickstartParser() as parser:
        assert [one for one in parser.check(text, target.parser) if not one.warning] == []
    assert msgspec.to_builtins(read_kickstart(text, hasher).profile)["bootloader"]["append"] == name
