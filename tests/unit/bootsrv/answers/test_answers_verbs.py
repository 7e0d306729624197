"""`bootsrv answers` on files from anywhere, by the command line."""

import hashlib
import json
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.answers.crypt import crypt, hashed, loader_hashed
from bootsrv.answers.toml import as_toml
from bootsrv.cli.main import main
from pxe.answers.profile import profile_from

OLD = """install
lang en_US
keyboard us
timezone Europe/Prague
network --bootproto=dhcp
rootpw swordfish
part / --size=1000 --encrypted --passphrase=sesame
reboot
%packages
@Base
"""


class Done(NamedTuple):
    exit_code: int
    output: str


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bootsrv", "answers", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(ended.value.code or 0, said.out + said.err)

    return run


@pytest.fixture
def old(tmp_path):
    file = tmp_path / "old.ks"
    file.write_text(OLD)
    return file


def test_a_file_is_good_for_its_own_version_only(run, old):
    assert run("validate", old, "--for", "rhel5").exit_code == 0
    done = run("validate", old, "--for", "rhel9")
    assert done.exit_code == 1 and "line 10" in done.output and "%end" in done.output
    found = json.loads(run("validate", old, "--for", "rhel9", "--json").output)
    assert [one["line"] for one in found if not one["warning"]] == [1, 10]


def test_a_file_of_the_time_before_the_parser_is_checked_by_our_tables(run, old):
    done = run("validate", old, "--for", "rhl7.2")
    assert done.exit_code == 1 and "does not know part --encrypted" in done.output


def test_a_preseed_file_is_checked_by_the_installers_questions(run, tmp_path):
    file = tmp_path / "preseed.cfg"
    file.write_text("d-i passwd/make-user boolean maybe\n")
    done = run("validate", file, "--for", "debian13")
    assert done.exit_code == 1 and "error: line 1: passwd/make-user is true or false" in done.output


def test_import_render_and_diff(run, old, tmp_path):
    out = tmp_path / "farm.toml"
    done = run("import", old, "--for", "rhel6", "--out", out)
    assert done.exit_code == 0 and "replaced by its hash" in done.output
    profile = tomllib.loads(out.read_text())
    assert profile["root"]["password"].startswith("$6$")
    assert profile["disks"]["partitions"][0]["luks"] == {"passphrase": "secret:luks-1"}
    secrets = tmp_path / "farm.secrets"
    assert secrets.read_text() == "luks-1=sesame\n"
    assert out.stat().st_mode & 0o077 == 0 and secrets.stat().st_mode & 0o077 == 0
    assert "swordfish" not in out.read_text() and "sesame" not in out.read_text()
    shown = run("render", out)
    assert shown.exit_code == 0 and "--passphrase='********'" in shown.output and "sesame" not in shown.output
    made = run("render", out, "--with-secrets")
    assert made.exit_code == 0 and "part / --size=1000 --encrypted --passphrase=sesame" in made.output
    refused = run("render", out, "--for", "rhel9")
    assert refused.exit_code == 1 and "legacy.install: install is gone since RHEL 9" in refused.output
    other = tmp_path / "other.toml"
    other.write_text(out.read_text().replace("1000", "2000"))
    assert run("diff", out, out).exit_code == 0
    changed = run("diff", out, other)
    assert changed.exit_code == 1 and "+size = 2000" in changed.output


def test_passphrases_never_go_to_the_terminal(run, old):
    done = run("import", old)
    assert done.exit_code == 1 and "--out" in done.output and "sesame" not in done.output


def test_no_password_of_a_line_that_is_kept_goes_to_the_terminal_or_to_others(run, tmp_path):
    file, out = tmp_path / "old.ks", tmp_path / "farm.toml"
    file.write_text(OLD + "%end\nvnc --password=swordfish\nbootloader --password=swordfish\n")
    for place in (out, tmp_path / "farm.secrets"):
        place.touch(mode=0o644)
    done = run("import", file, "--for", "rhel9", "--out", out)
    assert done.exit_code == 0 and "swordfish" not in done.output and "error" not in done.output
    assert "line 12: kept as it is: vnc, but for its password" in done.output
    assert "swordfish" not in out.read_text() and "swordfish" in (tmp_path / "farm.secrets").read_text()
    assert all(place.stat().st_mode & 0o077 == 0 for place in (out, tmp_path / "farm.secrets"))
    profile = tomllib.loads(out.read_text())
    assert profile["bootloader"]["password"].startswith("grub.pbkdf2.sha512.10000.")
    assert run("import", file, "--for", "rhel5", "--out", out).exit_code == 0
    assert tomllib.loads(out.read_text())["bootloader"]["password"].startswith("$1$")


def test_a_boot_loaders_hash_is_grubs_own():
    made = loader_hashed("open sesame", old=False)
    _, kind, _, rounds, salt, key = made.split(".")
    again = hashlib.pbkdf2_hmac("sha512", b"open sesame", bytes.fromhex(salt), int(rounds), 64)
    assert kind == "pbkdf2" and bytes.fromhex(key) == again
    assert profile_from({"bootloader": {"password": made}}).bootloader.password == made


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import", "preseed.cfg"), "this is a preseed file; only kickstarts are imported"),
        (("import", "old.ks", "--for", "debian13"), "debian13 reads preseed; only kickstarts"),
        (("validate", "farm.toml", "--for", "rhel9"), "answers render farm.toml --for rhel9"),
    ],
)
def test_a_file_of_another_kind_is_named_as_one(run, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "preseed.cfg").write_text("# ours\nd-i passwd/make-user boolean true\n")
    (tmp_path / "old.ks").write_text(OLD)
    (tmp_path / "farm.toml").write_text('target = "rhel9"\n')
    done = run(*words)
    assert done.exit_code == 1 and says in done.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1\n", "colour"),
        ("hostname = [\n", "profile.toml"),
        ('root = {password = "plain"}\n', "root.password"),
    ],
)
def test_a_profile_that_cannot_be_used_is_one_line(run, tmp_path, text, says):
    file = tmp_path / "profile.toml"
    file.write_text(text)
    done = run("render", file, "--for", "rhel9")
    assert done.exit_code == 1 and says in done.output and len(done.output.splitlines()) == 1


def test_an_unknown_target_says_what_there_is(run, old):
    done = run("validate", old, "--for", "windows")
    assert done.exit_code != 0 and "rhel3 to rhel11" in done.output


def test_a_hash_is_one_that_the_system_takes():
    made = hashed("open 'sesame'")
    salt = made.rsplit("$", 1)[0]
    again = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", "x" * 8, "a"], capture_output=True, text=True, check=True
    )
    assert again.stdout.startswith("$6$") and made.startswith("$6$rounds=")
    assert hashed("other") != made and len(salt.split("$")[3]) == 16


def test_hashes_that_are_made_at_once_are_each_of_its_own_password():
    """libcrypt's `crypt` has one place for the result of all threads."""
    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(hashed, map(str, range(12))))
    assert [crypt(str(number), one) == one for number, one in enumerate(made)] == [True] * 12
    assert crypt("x", "no setting").startswith("*")


VALUES = st.recursive(
    st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_toml_reads_back_as_what_was_written(values):
    values = plain(values)
    assert tomllib.loads(as_toml(values)) == values


def plain(value):
    """Without what profiles never hold: tables beside other things in one list, lone surrogates."""
    if isinstance(value, dict):
        return {plain(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        kept = [plain(one) for one in value if not isinstance(one, dict | list)]
        return kept or [plain(one) for one in value if isinstance(one, dict)]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value


def test_nocloud_has_three_files(run, tmp_path):
    file = tmp_path / "image.toml"
    network = '[[network]]\ndevice = "eth0"\nmethod = "static"\naddress = "10.0.0.2"\n'
    file.write_text(f'target = "nocloud"\nhostname = "n1"\n{network}netmask = "255.0.0.0"\n')
    assert run("render", file).output.startswith("#cloud-config\n")
    assert "10.0.0.2/8" in run("render", file, "--part", "network-config").output
    assert "local-hostname: n1" in run("render", file, "--part", "meta-data").output
    assert "no part 'x'" in run("render", file, "--part", "x").output
    file.write_text(f'target = "nocloud"\n{network}')
    refused = run("render", file)
    assert refused.exit_code == 1 and "network[0]: a static address needs" in refused.output
