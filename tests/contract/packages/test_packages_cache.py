"""The cache of package archives, whole: apt and fifty machines at once, in a network where nothing else
is."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_packages import deb
from package_house import House

from bootsrv.mirrors import repository
from bootsrv.signing import ArchiveKey

pytestmark = pytest.mark.netns
OURS = "http://127.0.0.1:8080/mirror/debian"
BIG = 3_000_000


def archive(root: Path, key: ArchiveKey) -> None:
    """An archive as a distribution has one, of three packages."""
    pool = root / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    deb(pool, "big", size=BIG)
    deb(pool, "leaf")
    deb(pool, "tree", depends="leaf, big")
    text = repository.ftparchive(["packages", "pool"], root)
    repository.write_packages(root / "dists/test/main/binary-amd64", text)
    about = {
        "Origin": "Test",
        "Suite": "test",
        "Codename": "test",
        "Architectures": "amd64",
        "Components": "main",
    }
    repository.release(root / "dists/test", about, key)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("packages"))
    key = ArchiveKey(made.home / "key")
    archive(made.archive, key)
    (made.home / "key.gpg").write_bytes(key.public())
    made.start()
    yield made
    made.close()


def apt(house: House, root: Path, *words: str, source: str = "") -> str:
    """apt of a machine that knows nothing but our address; its state is in `root`."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    line = source or f"deb [signed-by={house.home}/key.gpg] {OURS} test main"
    (root / "sources.list").write_text(f"{line}\n")
    (root / "apt.conf").write_text(
        f'Dir "{root}"; Dir::Etc::Main "/dev/null"; Dir::Etc::Parts "/dev/null";\n'
        f'Dir::Etc::SourceParts "/dev/null"; Dir::Etc::SourceList "{root}/sources.list";\n'
        f'Dir::State "{root}/state"; Dir::State::Status "{root}/status";\n'
        f'Dir::Cache "{root}/cache"; APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }};\n'
        'APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "0";\n'
    )
    return house.inside(["env", f"APT_CONFIG={root}/apt.conf", "apt-get", "-y", *words]).stdout


def test_fifty_machines_fetch_a_package_once(house: House, tmp_path: Path) -> None:
    name = "pool/big_1.0_all.deb"
    fetch = f"for i in $(seq 50); do curl -sSf -o {tmp_path}/$i {OURS}/{name} & done; wait"
    house.inside(["sh", "-c", fetch])
    want = hashlib.sha256((house.archive / name).read_bytes()).hexdigest()
    assert {hashlib.sha256((tmp_path / str(i)).read_bytes()).hexdigest() for i in range(1, 51)} == {want}
    assert house.asked[name] == 1


def test_apt_installs_from_it(house: House, tmp_path: Path) -> None:
    for machine in ("one", "two"):
        apt(house, tmp_path / machine, "update")
        apt(house, tmp_path / machine, "install", "--download-only", "tree")
        got = {path.name for path in (tmp_path / machine / "cache/archives").glob("*.deb")}
        assert got == {"big_1.0_all.deb", "leaf_1.0_all.deb", "tree_1.0_all.deb"}
    assert all(house.asked[f"pool/{name}_1.0_all.deb"] == 1 for name in ("big", "leaf", "tree"))


def test_a_newer_release_is_seen_at_once(house: House, tmp_path: Path) -> None:
    apt(house, tmp_path / "one", "update")
    deb(house.archive / "pool", "newer")
    text = repository.ftparchive(["packages", "pool"], house.archive)
    repository.write_packages(house.archive / "dists/test/main/binary-amd64", text)
    about = {
        "Origin": "Test",
        "Suite": "test",
        "Codename": "test",
        "Architectures": "amd64",
        "Components": "main",
    }
    repository.release(house.archive / "dists/test", about, ArchiveKey(house.home / "key"))
    subprocess.run(["sleep", "6"], check=True)  # so long an index counts as fresh
    apt(house, tmp_path / "one", "update")
    apt(house, tmp_path / "one", "install", "--download-only", "newer")


def test_wrong_bytes_reach_no_machine(house: House, tmp_path: Path) -> None:
    apt(house, tmp_path / "one", "update")
    made = deb(house.archive / "pool", "spoiled")
    text = repository.ftparchive(["packages", "pool"], house.archive)
    repository.write_packages(house.archive / "dists/test/main/binary-amd64", text)
    subprocess.run(["sleep", "6"], check=True)
    house.inside(["curl", "-sSf", "-o", "/dev/null", f"{OURS}/dists/test/main/binary-amd64/Packages.xz"])
    data = bytearray(made.read_bytes())
    data[-1] ^= 1
    made.write_bytes(data)
    fetch = ["curl", "-sSf", "-o", f"{tmp_path}/got", f"{OURS}/pool/{made.name}"]
    # 22: refused before anything was sent; 18: broken off.
    assert house.inside(fetch, check=False).returncode in (18, 22)
    assert not (tmp_path / "got").exists() or (tmp_path / "got").stat().st_size < len(data)


def test_strangers_get_nothing(house: House) -> None:
    """An address that is on no subnet of ours, by the interface that machines are on."""
    house.inside(["sh", "-c", "ip address add 192.0.2.7/32 dev lo || true"])
    status = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "192.0.2.7"]
    assert house.inside([*status, f"{OURS}/dists/test/InRelease"]).stdout == "403"
    assert house.inside([*status[:-2], "http://127.0.0.1:8080/mirror/other/x"]).stdout == "404"


def test_it_is_listed(house: House) -> None:
    (found,) = json.loads(house.cli("mirror", "list", "--json"))
    assert (found["name"], found["kind"], found["url_path"]) == ("debian", "cached", "/mirror/debian/")
