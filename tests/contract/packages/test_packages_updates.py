"""Updated packages beside a tree: read by apt and dnf themselves, in a network where nothing else is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_packages import deb, rpm
from package_house import House
from test_packages_cache import apt

pytestmark = pytest.mark.netns
TREES = "http://127.0.0.1:8080/tree"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("updates"))
    for name, files in {
        "debian": {
            "version.info": "Debian version:  12 (bookworm)\n",
            "debian-installer/amd64/linux": "kernel",
            "debian-installer/amd64/initrd.gz": "initrd",
        },
        "fedora": {
            ".treeinfo": "[general]\nfamily = Fedora\nversion = 41\narch = x86_64\n[images-x86_64]\n"
            "kernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n",
            "images/pxeboot/vmlinuz": "kernel",
            "images/pxeboot/initrd.img": "initrd",
        },
    }.items():
        for file, text in files.items():
            path = made.home / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        made.cli("tree", "import", str(made.home / name), "--name", name)
    made.start()
    yield made
    made.close()


def test_apt_takes_the_newer_one(house: House, tmp_path: Path) -> None:
    first, second = deb(tmp_path, "tool", "1.0"), deb(tmp_path, "tool", "1.1")
    house.cli("tree", "updates", "debian", str(first))
    house.cli("tree", "updates", "debian", str(second))
    have = json.loads(house.cli("tree", "updates", "debian", "--json"))
    assert have["debs"] == ["tool_1.0_all.deb", "tool_1.1_all.deb"]
    house.inside(["curl", "-sSf", "-o", f"{tmp_path}/key.gpg", f"{TREES}/debian/updates/archive-key.gpg"])
    line = f"deb [signed-by={tmp_path}/key.gpg] {TREES}/debian/updates ./"
    apt(house, tmp_path / "machine", "update", source=line)
    apt(house, tmp_path / "machine", "install", "--download-only", "tool", source=line)
    assert [p.name for p in (tmp_path / "machine/cache/archives").glob("*.deb")] == ["tool_1.1_all.deb"]
    assert house.inside(["curl", "-sSf", f"{TREES}/debian/debian-installer/amd64/linux"]).stdout == "kernel"
    house.cli("tree", "updates", "debian", "--replace", str(second))
    assert json.loads(house.cli("tree", "updates", "debian", "--json"))["debs"] == ["tool_1.1_all.deb"]
    house.cli("tree", "verify", "debian")
    house.cli("tree", "updates", "debian", "--clear")
    assert house.inside(["curl", "-sf", f"{TREES}/debian/updates/Packages"], check=False).returncode == 22


def test_a_key_of_another_does_not_open_it(house: House, tmp_path: Path) -> None:
    house.cli("tree", "updates", "debian", str(deb(tmp_path, "tool", "1.2")))
    line = f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {TREES}/debian/updates ./"
    with pytest.raises(AssertionError, match=r"NO_PUBKEY|not signed"):
        apt(house, tmp_path / "machine", "--error-on=any", "update", source=line)


def test_dnf_takes_the_newer_one(house: House, tmp_path: Path) -> None:
    house.cli(
        "tree", "updates", "fedora", str(rpm(tmp_path, "tool", "1.0")), str(rpm(tmp_path, "tool", "1.1"))
    )
    house.inside(["curl", "-sSf", "-o", f"{tmp_path}/key.asc", f"{TREES}/fedora/updates/archive-key.asc"])
    (tmp_path / "dnf.conf").write_text(
        f"[main]\nreposdir=/dev/null\ncachedir={tmp_path}/cache\n[updates]\nname=updates\n"
        f"baseurl={TREES}/fedora/updates/\nrepo_gpgcheck=1\ngpgcheck=0\ngpgkey=file://{tmp_path}/key.asc\n"
    )
    (tmp_path / "root").mkdir()
    dnf = ["dnf", "-y", "-c", f"{tmp_path}/dnf.conf", f"--installroot={tmp_path}/root", "--releasever=41"]
    house.inside([*dnf, "--downloadonly", "--downloaddir", str(tmp_path), "install", "tool"], timeout=100)
    assert (tmp_path / "tool-1.1.rpm").exists()


@pytest.mark.parametrize("end", ["deb", "rpm"])
def test_damaged_packages_are_refused_by_name(house: House, tmp_path: Path, end: str) -> None:
    made = deb(tmp_path, "broken") if end == "deb" else rpm(tmp_path, "broken")
    made.write_bytes(made.read_bytes()[:100])
    tree = "debian" if end == "deb" else "fedora"
    with pytest.raises(AssertionError, match=f"{made.name} is damaged"):
        house.cli("tree", "updates", tree, str(made))
    (tmp_path / "text.deb").write_text("no package")
    with pytest.raises(AssertionError, match="is neither"):
        house.cli("tree", "updates", tree, str(tmp_path / "text.deb"))
    names = subprocess.run(["ls", "-A", str(house.data / "trees" / tree)], capture_output=True, text=True)
    assert ".new" not in names.stdout
