"""Our answer files against what others wrote: pykickstart's own test lines, and cloud-init's own schema.

Neither is in this repository: both come from where everybody gets them (PyPI's source archive, Debian's
package), into `build`, once. pykickstart is under the GPL, so it is asked only here and as its own process.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import yaml

from bootsrv.answers.files import render
from pxe.answers.cloud.nocloud_check import check as check_nocloud
from pxe.answers.errors import Unfit
from pxe.answers.kickstart.importer import read_kickstart
from pxe.answers.kickstart.render import render as render_kickstart
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target
from pxe.errors import SettingError

HOME = Path(__file__).parents[3] / "build/ecosystem"
CLASS = re.compile(r"(FC|F|RHEL)(\d+)_\w*TestCase")
# Of two that say the opposite the last one counts for the parser; we refuse both.
AGAINST = (("--linear", "--nolinear"), ("--activate", "--no-activate"))
# Asks pykickstart what it understood: one JSON line each way.
ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion
for line in sys.stdin:
    version, text = json.loads(line)
    try:
        handler = makeVersion(version)
        KickstartParser(handler, followIncludes=False).readKickstartFromString(text)
        said = str(handler)
    except Exception as error:
        said = None
    print(json.dumps(said), flush=True)
"""


def fetched(name: str, *words: str) -> Path:
    """What a package manager downloads, in a directory of its own."""
    place = HOME / name
    if not place.exists():
        (place.with_suffix(".part")).mkdir(parents=True, exist_ok=True)
        subprocess.run(words, cwd=place.with_suffix(".part"), check=True, capture_output=True, timeout=120)
        place.with_suffix(".part").rename(place)
    return place


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """(version, directive) of every test of pykickstart that says one which is good."""
    wanted = f"pykickstart=={version('pykickstart')}"
    pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "--no-binary")
    place = fetched(wanted, *pip, ":all:", wanted)
    found: list[tuple[str, str]] = []
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        for member in archive:
            if "/tests/commands/" in member.name and member.name.endswith(".py"):
                data = archive.extractfile(member)
                assert data is not None
                found += _directives(data.read().decode())
    assert len(found) > 400
    return list(dict.fromkeys(found))


def _directives(source: str) -> Iterator[tuple[str, str]]:
    for part in ast.walk(ast.parse(source)):
        named = CLASS.match(part.name) if isinstance(part, ast.ClassDef) else None
        if not named or not isinstance(part, ast.ClassDef):
            continue
        for call in ast.walk(part):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "assert_parse"
                and call.args
                and isinstance(call.args[0], ast.Constant)
                and isinstance(call.args[0].value, str)
            ):
                yield f"{named[1]}{named[2]}", call.args[0].value


@pytest.fixture(scope="module")
def asked() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def understood(process: subprocess.Popen[str], parser: str, text: str) -> str | None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([parser, text]) + "\n")
    process.stdin.flush()
    said: str | None = json.loads(process.stdout.readline())
    return said


def test_every_directive_of_pykickstarts_own_tests_comes_back_the_same(
    lines: list[tuple[str, str]], asked: subprocess.Popen[str]
) -> None:
    """Through a profile and out again, Anaconda's parser understands the same; where a password was in the
    clear, it understands its hash."""
    changed, refused, same, hashed = [], [], 0, 0
    for parser, line in lines:
        before = understood(asked, parser, line + "\n")
        if before is None or any(set(pair) <= set(line.split()) for pair in AGAINST):
            continue  # a test of one directive alone, beside which the parser wants others
        goal = find_target(re.sub(r"^FC?(?=\d)", "fedora", parser))
        try:
            got = read_kickstart(line + "\n", lambda plain: "$6$HASH", goal.name)
            written = render_kickstart(got.profile, goal, got.secrets)
        except (SettingError, Unfit) as error:
            refused.append(f"{parser}: {line}: {error}")
            continue
        after = understood(asked, parser, written)
        if any("replaced by its hash" in note.text for note in got.notes):
            hashed += 1
            if after is None or not ("HASH" in after or ("'!!'" in written and "--lock" in line)):
                changed.append(f"{parser}: {line}\nbecame\n{written}")
            continue
        if _own(before) <= _own(after or ""):
            same += 1
        else:
            changed.append(f"{parser}: {line}\n{before}\nbecame\n{written}")
    print(f"{same} the same, {hashed} with a hash now, {len(refused)} refused, {len(changed)} changed")
    assert not changed, "\n".join(changed)
    assert same > 10 * len(refused) and hashed > 3, "\n".join(refused)


def _own(said: str) -> set[str]:
    """Directives as the parser writes them, without remarks and the sections that all files of ours have."""
    rows = (row.strip() for row in said.splitlines())
    return {row for row in rows if row and not row.startswith(("#", "%"))}


def test_cloud_inits_own_schema_takes_what_we_write_and_refuses_what_we_refuse() -> None:
    place = fetched("cloud-init", "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "cloud-init")
    root = place / "root"
    subprocess.run(["dpkg-deb", "-x", str(next(place.glob("*.deb"))), str(root)], check=True, timeout=60)
    file = next(root.rglob("schema-cloud-config-v1.json"))
    theirs = jsonschema.Draft4Validator(json.loads(file.read_text()))

    def wrong(text: str) -> bool:
        return any(True for _ in theirs.iter_errors(yaml.safe_load(text)))

    profile = profile_from({
        "hostname": "n01.cluster.test", "ntp_servers": ["10.0.0.1"], "packages": {"names": ["vim"]},
        "root": {"locked": True, "keys": ["ssh-ed25519 AAAA root"]}, "finish": "poweroff",
        "users": [{"name": "ada", "full_name": "Ada", "groups": ["sudo"], "keys": ["ssh-rsa B a"]}],
        "services": {"enabled": ["ssh"]},
        "scripts": [{"text": "echo hi\n"}, {"when": "first-boot", "text": "echo first\n"}],
    })  # fmt: skip
    done = render(profile, find_target("nocloud"), {})
    assert done.good
    assert not wrong(done.text)
    for bad in (
        "runcmd: 3", "users: [{nam: ada}]", "keyboard: {model: x}", "power_state: {mode: off}",
        "package_update: maybe", "ntp: {servrs: [a]}", "write_files: [{content: x}]", "packages: [3]",
        "ssh_authorized_keys: x", "manage_etc_hosts: never",
    ):  # fmt: skip
        assert wrong(bad), bad
        assert check_nocloud(f"#cloud-config\n{bad}\n"), bad
