"""A tree's updated packages in a profile: what each installer is told is what it understands."""

from __future__ import annotations

import re

import msgspec
import pytest

from bootsrv.answers import files
from pxe.answers.profile import Profile, User
from pxe.answers.targets import find_target
from pxe.trees.facts import Installer
from pxe.trees.repositories import updates_entry

URL = "http://10.77.0.1:8080/tree/t/updates"


def written(installer: Installer, target: str) -> str:
    user = User(name="ada", password="$6$abcdefgh$" + "x" * 86)
    profile = Profile(repositories=(updates_entry(installer, f"{URL}/"),), users=(user,))
    done = files.render(profile, find_target(target), {})
    ours = [one for one in done.findings if one.field.startswith("repositories")]
    assert ours == []
    return done.text


def test_preseed() -> None:
    text = written(Installer.PRESEED, "debian12")
    assert f"d-i apt-setup/local0/repository string {URL} ./\n" in text
    assert f"d-i apt-setup/local0/key string {URL}/archive-key.asc\n" in text


def test_autoinstall() -> None:
    assert f"source: deb [trusted=yes] {URL} ./\n" in written(Installer.AUTOINSTALL, "ubuntu24.04")


@pytest.mark.parametrize("target", ["rhel9", "fedora41", "rhel6"])
def test_kickstart(target: str) -> None:
    assert re.search(
        rf'^repo --name="?updates"? --baseurl="?{URL}/"?$', written(Installer.KICKSTART, target), re.M
    )


def test_a_key_has_no_place_in_a_kickstart() -> None:
    entry = msgspec.structs.replace(updates_entry(Installer.KICKSTART, URL), key=f"{URL}/archive-key.asc")
    done = files.render(Profile(repositories=(entry,)), find_target("rhel9"), {})
    assert any(one.field == "repositories[0].key" for one in done.findings)
    assert not done.good
