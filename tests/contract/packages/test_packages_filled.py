"""An archive of our own, filled from Debian's, installs a Debian in a network that has no way out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_house import House

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(580)]
SUITE = "bookworm"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("filled"))
    made.cli("mirror", "fill", "own", "--suite", SUITE, "hello")
    made.start()
    yield made
    made.close()


def test_mmdebstrap_installs_from_it(house: House, tmp_path: Path) -> None:
    (found,) = [one for one in json.loads(house.cli("mirror", "list", "--json")) if one["name"] == "own"]
    assert found["packages"] == ["hello"]
    assert found["missing"] == []
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


def test_again_nothing_is_fetched_twice(house: House) -> None:
    before = {p: p.stat().st_ino for p in (house.data / "mirrors/own/files/pool").rglob("*.deb")}
    house.cli("mirror", "fill", "own", "--suite", SUITE, "hello")
    after = {p: p.stat().st_ino for p in (house.data / "mirrors/own/files/pool").rglob("*.deb")}
    assert before == after
