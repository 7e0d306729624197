"""An archive of our own, filled from Debian's, installs a Debian in a network that has no way out; and the
netboot installer's own retriever takes its packages from it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_house import House

from pxe.answers.snippets import find_snippet

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(580)]
SUITE, OURS = "bookworm", "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("filled"))
    made.cli("tree", "import", "debian-12", "--name", "deb12")
    made.cli("mirror", "fill", "own", "--suite", SUITE, "--tree", "deb12", "hello")
    made.start()
    yield made
    made.close()


def test_mmdebstrap_installs_from_it(house: House, tmp_path: Path) -> None:
    (found,) = [one for one in json.loads(house.cli("mirror", "list", "--json")) if one["name"] == "own"]
    assert "hello" in found["packages"]
    assert found["tree"] == "deb12"
    key = tmp_path / "key.gpg"
    house.inside(["curl", "-sSf", "-o", str(key), "http://127.0.0.1:8080/mirror/own/archive-key.gpg"])
    root = tmp_path / "root"
    line = f"deb [signed-by={key}] http://127.0.0.1:8080/mirror/own {SUITE} main"
    command = [
        "mmdebstrap",
        "--variant=important",
        "--include=hello",
        f"--keyring={key}",
        SUITE,
        str(root),
        line,
    ]
    house.inside(command, timeout=500)
    said = subprocess.run(["chroot", str(root), "hello"], check=True, capture_output=True, text=True).stdout
    assert said == "Hello, world!\n"


# As the installer calls it: what Debian's menu does between choosing a mirror and loading components. Not all
# exit codes get through debconf.
LOAD = """#!/bin/sh
. /usr/share/debconf/confmodule
end() { echo "$1" >/tmp/ended; exit; }
put() { db_set "$1" "$2" || { db_register debian-installer/dummy "$1"; db_set "$1" "$2"; }; }
put mirror/protocol http
put mirror/http/hostname 127.0.0.1:8080
put mirror/http/directory /mirror/own
put mirror/codename bookworm
retriever=/usr/lib/debian-installer/retriever/net-retriever
$retriever packages /tmp/Packages || end untrusted
sed -n 's/^Filename: //p' /tmp/Packages > /tmp/names
mkdir /tmp/got
exec 9</tmp/names
while read name <&9; do $retriever retrieve "$name" "/tmp/got/${name##*/}" || end missing; done
end whole
"""


def test_the_installers_retriever_takes_its_packages_from_it(house: House, tmp_path: Path) -> None:
    """In the RAM disk of the tree that it was filled for; first it does not trust it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    initrd = house.data / "trees/deb12/files/debian-installer/amd64/initrd.gz"
    unpack = f"zcat {initrd} | cpio --extract --make-directories --quiet --no-absolute-filenames"
    subprocess.run(["sh", "-c", unpack], cwd=disk, check=False, capture_output=True)  # device nodes
    (disk / "tmp/load").write_text(LOAD)
    (disk / "tmp/load").chmod(0o755)
    (disk / "tmp/trust").write_text(find_snippet("archive-key").script({"url": f"{OURS}/mirror/own"}))
    mounted = f"mount -t proc proc {disk}/proc && mount --bind /dev {disk}/dev && exec chroot {disk} sh -c "

    def installer(command: str) -> int:
        words = ["unshare", "--mount", "sh", "-c", f"{mounted} '{command}'"]
        return house.inside(words, check=False, timeout=300).returncode

    keys = "cd /usr/share/keyrings && ln -s debian-archive-keyring.gpg archive.gpg"
    templates = "for t in /var/lib/dpkg/info/*.templates; do debconf-loadtemplate debian-installer $t; done"
    assert installer(f"{keys}; {templates}") == 0

    def loaded() -> str:
        installer("DEBIAN_FRONTEND=noninteractive debconf -o d-i /tmp/load")
        return (disk / "tmp/ended").read_text().strip()

    assert loaded() == "untrusted", "its own keys do not open it"
    assert installer("sh /tmp/trust") == 0
    assert loaded() == "whole"
    entries = (disk / "tmp/Packages").read_text()
    wanted = set(re.findall(r"^SHA256: (\S+)$", entries, re.MULTILINE))
    got = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (disk / "tmp/got").iterdir()}
    assert got == wanted and len(got) > 50
    release = next((disk / "lib/modules").iterdir()).name
    modules = next((disk / "tmp/got").glob(f"md-modules-{release}-di_*.udeb"))
    assert installer(f"udpkg --unpack /tmp/got/{modules.name}") == 0
    assert list((disk / "lib/modules" / release).rglob("raid1.ko*")), "modules of the kernel that runs"


def test_again_nothing_is_fetched_twice(house: House) -> None:
    before = {p: p.stat().st_ino for p in (house.data / "mirrors/own/files/pool").rglob("*.*deb")}
    house.cli("mirror", "fill", "own", "--suite", SUITE, "--tree", "deb12", "hello")
    after = {p: p.stat().st_ino for p in (house.data / "mirrors/own/files/pool").rglob("*.*deb")}
    assert before == after
