"""apt is called in one way by all who fetch packages: its state, its settings and its complaint."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bootsrv import aptcall, payloads
from bootsrv.apt import AptRoom
from bootsrv.errors import BootsrvError

pytestmark = pytest.mark.skipif(shutil.which("apt-config") is None, reason="a Debian's own tools")


def settings(room: Path) -> str:
    """What apt itself understood."""
    return aptcall.call(["apt-config", "dump"], room)


def test_both_rooms_are_lean_and_apart_from_the_host(tmp_path: Path) -> None:
    aptcall.furnish(tmp_path, payloads.PARTS, payloads.APT_CONF.format(state=tmp_path), "deb http://x y z\n")
    with AptRoom(["deb http://x y z"]) as apt:
        for room in (tmp_path, apt.path):
            said = settings(room)
            assert 'Acquire::Languages:: "none";' in said
            assert 'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";' in said
            asked = aptcall.call(["apt-get", "update", "--print-uris"], room).splitlines()
            assert all(line.startswith("'http://x/dists/y/") for line in asked), "never the host's"
            names = {line.split("'")[1].rpartition("/")[2].partition(".")[0] for line in asked}
            assert names == {"InRelease", "Packages"}


def test_the_complaint_is_the_one_line(tmp_path: Path) -> None:
    with AptRoom([]) as apt, pytest.raises(BootsrvError, match=r"apt-get nonsense failed: E: Invalid oper"):
        apt.run(["apt-get", "nonsense"])
    with pytest.raises(aptcall.AptFailed, match=r"dpkg-deb --field /none failed: "):
        aptcall.call(["dpkg-deb", "--field", "/none"])


def test_standard_library_alone() -> None:
    """`run setup` starts it by the system's Python, while .venv is being made."""
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c",
         f"import sys; sys.path.insert(0, {str(Path(aptcall.__file__).parents[1])!r})\n"
         "import bootsrv.payloads, bootsrv.aptcall"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
