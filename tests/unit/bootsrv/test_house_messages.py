"""What goes wrong is said so that one knows what to do: on the command line, as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.checks import layout_name, profile_name
from bootsrv.config import parse
from bootsrv.errors import Invalid, Needed, NotFound
from bootsrv.mirrors.local import LocalMirrors
from bootsrv.trees.shelf import Shelf

NOBODY = 65534
BASE = ["-m", "bootsrv.cli.main"]


ROOM = Path(__file__).parents[3]


def run(config: Path, *words: str, user: int = 0, code: Path = ROOM) -> tuple[int, list[str]]:
    """Exit code and lines on stderr. `code`: where that user finds this program."""
    become = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--"] if user else []
    environment = {**os.environ, "BOOTSRV_CONFIG": str(config), "PYTHONPATH": str(code)}
    python = sys.executable.replace(str(ROOM), str(code), 1)
    argv = [*become, python, *BASE, *words]
    nothing = subprocess.DEVNULL
    done = subprocess.run(
        argv, env=environment, cwd=code, stdin=nothing, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A place that a plain user may enter, with this program in `code`, wherever the checkout is."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        code = Path(folder, "code")
        code.mkdir()
        subprocess.run(["mount", "--bind", "-o", "ro", str(ROOM), str(code)], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", str(code)], check=True)


def write(home: Path, data: Path) -> Path:
    path = home / "bootsrv.toml"
    path.write_text(f'data_dir = "{data}"\n[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "authoritative"\n')
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write(tmp_path, tmp_path / "data")


def test_a_name_that_is_none(written: Path) -> None:
    for words in (("node", "add", "Bad_Name!"), ("reimage", "Bad_Name!")):
        code, (line,) = run(written, *words)
        assert code == 1 and line.startswith("bootsrv: 'Bad_Name!' is not a node name: use letters, digits")
        assert "n[01-32]" in line and "@rack3" in line


def test_a_range_that_runs_backwards(written: Path) -> None:
    _, (line,) = run(written, "node", "add", "n[9-5]")
    assert line == "bootsrv: 'n[9-5]': '9-5' runs backwards; write 5-9"


def test_a_missing_image_names_the_option(written: Path) -> None:
    assert run(written, "node", "add", "n1") == (0, [])
    assert run(written, "reimage", "n1") == (1, ["bootsrv: n1 has no image: give it with --image"])
    made = run(written, "node", "add", "n2", "--mode", "diskless", "--writes", "paths")
    assert made == (1, ["bootsrv: writes paths: say which are kept, such as /home: give it with --path"])


def test_power_and_capture_of_a_node_that_was_never_seen(written: Path) -> None:
    run(written, "node", "add", "n1", "--address", "10.77.0.11")
    _, (line,) = run(written, "power", "n1", "on")
    assert line.endswith("n1 has no MAC yet that it could be woken by")
    code, lines = run(written, "power", "n1", "via", "ipmi://admin@n1-bmc")
    assert code == 2 and lines[-1].endswith("on standard input, or --password-file FILE")
    _, (line,) = run(written, "image", "capture", "n1", "--name", "golden")
    assert "logs in to systems alone that it imaged; the imager can capture it (offline)" in line


def test_what_there_is_none_of(house: Appliance, tmp_path: Path) -> None:
    for ask, said in (
        (lambda: layout_name(house.config, "big"), "disk layout 'big'; declare it as [layouts.big] in"),
        (lambda: profile_name(house.registry, "web"), "profile 'web'; `bootsrv answers save` makes one"),
        (lambda: Shelf(tmp_path / "trees").get("x"), "tree 'x'; make one, such as: bootsrv tree import"),
        (lambda: LocalMirrors(tmp_path / "m").get("x"), "filled archive 'x'; `bootsrv mirror fill` makes"),
    ):
        with pytest.raises((Invalid, NotFound)) as caught:
            ask()
        assert str(caught.value).startswith(f"there is no {said}") and "there are" not in str(caught.value)
    parts = [{"role": "esp", "size": "128M"}, {"role": "root", "fs": "ext4", "size": "grow"}]
    table = {"layouts": {"plain": {"partitions": parts}}}
    with pytest.raises(Invalid, match="no disk layout 'big'; there are: plain"):
        layout_name(parse(table, Path("f")), "big")


def test_verbs_know_no_edge(house: Appliance) -> None:
    from bootsrv.appliance.nodes import Wanted

    node = house.nodes.add(Wanted(name="n1"))
    with pytest.raises(Needed) as caught:
        house.deploys.reimage([node])
    assert (str(caught.value), caught.value.field) == ("n1 has no image", "image")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("words", [("doctor",), ("node", "list"), ("image", "list"), ("serve",)])
def test_a_plain_user_is_told_to_be_root(reachable: Path, words: tuple[str, ...]) -> None:
    """As after an install: a data directory and a configuration that only root may read."""
    data = reachable / "data"
    config = write(reachable, data)
    config.chmod(0o644)
    data.mkdir(mode=0o700)
    status, lines = run(config, *words, user=NOBODY, code=reachable / "code")
    assert status == 1 and lines[-1].endswith("run it as root (sudo)"), lines
    assert str(data) in lines[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_what_a_plain_user_may_not_look_at_is_not_called_missing(reachable: Path) -> None:
    """The configuration, and what is to be imported: itself, or a directory on the way."""
    config, private = write(reachable, reachable / "data"), reachable / "private"
    config.chmod(0o600)
    (private / "tree/etc").mkdir(parents=True)
    (private / "dhcpd.conf").write_text("")
    (reachable / "mine").mkdir(mode=0o700)
    for words in (("image", "list"), ("push", "n1", "--image", "a"), ("node", "show", "n1")):
        status, lines = run(config, *words, user=NOBODY, code=reachable / "code")
        cannot = f"bootsrv: {config}: cannot be read: Permission denied; run it as root (sudo)"
        assert (status, lines) == (2, [cannot])
    config.chmod(0o644)
    asked = (
        (reachable / "mine", ("image", "import", "a", str(reachable / "mine")), 0o755),
        (private / "tree", ("image", "import", "a", str(private / "tree")), 0o700),
        (private / "dhcpd.conf", ("node", "import", str(private / "dhcpd.conf")), 0o700),
    )
    for what, words, folder in asked:
        private.chmod(folder)
        status, lines = run(config, *words, user=NOBODY, code=reachable / "code")
        assert (status, lines) == (1, [f"bootsrv: {what}: Permission denied; run it as root (sudo)"])
    assert run(config, "image", "import", "a", str(reachable / "nothing"))[1][-1].endswith("does not exist.")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_member_of_the_services_group_is_told_where_that_ends(reachable: Path) -> None:
    """Who may read the store, and change the registry, but is not the user that both belong to."""
    data, root = reachable / "data", reachable / "root"
    config = write(reachable, data)
    config.chmod(0o644)
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").write_text("x")
    assert run(config, "image", "import", "a", str(root))[0] == 0
    assert run(config, "image", "import", "a", str(root))[0] == 0
    for folder, _, files in os.walk(data):
        os.chown(folder, -1, NOBODY)
        for name in files:
            os.chown(Path(folder, name), -1, NOBODY)
    data.chmod(0o2770)  # as `serve` leaves them
    (data / "registry.db").chmod(0o660)
    for words in (
        ("tag", "a@1", "x"), ("remove", "a@1"), ("prune", "--keep", "1"), ("gc",), ("verify",),
        ("agent", "a"), ("verify", "--repair"), ("edit", "a", "--", "x"), ("import", "b", str(root)),
        ("import", "b", "--recipe", "debian-12"), ("export", "a", str(reachable / "x.raw")),
    ):  # fmt: skip
        status, lines = run(config, "image", *words, user=NOBODY, code=reachable / "code")
        assert status == 1 and len(lines) == 1 and "run it as root (sudo)" in lines[0], (words, lines)
    assert run(config, "image", "list", user=NOBODY, code=reachable / "code") == (0, [])


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    place = tmp_path / "little"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk_is_named(tmp_path: Path, little: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/noise").write_bytes(os.urandom(12 << 20))
    config = write(tmp_path, little)
    code, lines = run(config, "image", "import", "big", str(root))
    assert code == 1 and "No space left on device" in lines[-1]
    assert f"{little} has " in lines[-1] and "image prune" in lines[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk_below_the_registry(tmp_path: Path, little: Path) -> None:
    config = write(tmp_path, little)
    assert run(config, "node", "add", "n1") == (0, [])
    descriptor = os.open(little / "filler", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
    code, lines = run(config, "node", "add", "n[2-900]")
    assert code == 1 and f"{little}/registry.db: No space left on device" in lines[-1]


def test_verify_says_each_remedy_once(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for number in range(23):
        (root / f"etc/{number}").write_bytes(os.urandom(5000))
    assert run(written, "image", "import", "small", str(root))[0] == 0
    (pack,) = (tmp_path / "data/store/packs").glob("*.pack")
    damaged = bytearray(pack.read_bytes())
    damaged[100] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(damaged)
    again = "import small again from its source"
    for words, remedy in (
        (("image", "verify"), f"run `bootsrv image verify --repair`, then {again}"),
        (("image", "verify", "--repair"), again),
    ):
        environment = {**os.environ, "BOOTSRV_CONFIG": str(written)}
        argv = [sys.executable, *BASE, *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        told = [line for line in lines if line.endswith(remedy)]
        problems = [line for line in lines if line.startswith(str(tmp_path))]
        assert done.returncode == 1 and len(problems) == 21, "the pack, and the first files"
        assert told == [f"23 problems: {remedy}"] and "... and 3 more files with lost chunks: --all" in lines
        assert "small@1: 23 files have lost chunks" in lines
        argv.append("--all")
        every = subprocess.run(argv, env=environment, capture_output=True, text=True)
        assert every.stdout.count("has lost chunks") == 23
        assert all(line.count(str(pack)) <= 1 for line in lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_registry_that_may_not_be_opened(reachable: Path) -> None:
    """The directory may be entered, as the command line made it: the registry may not be read."""
    config = write(reachable, reachable / "data")
    config.chmod(0o644)
    assert run(config, "node", "add", "n1") == (0, [])
    assert (reachable / "data").stat().st_mode & 0o001
    status, lines = run(config, "node", "list", user=NOBODY, code=reachable / "code")
    where = f"bootsrv: {reachable}/data/registry.db: "
    assert (status, lines) == (1, [f"{where}Permission denied; run it as root (sudo)"])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("target", ["x.tar", "x", "x.squashfs"])
def test_an_export_to_a_full_disk_blames_that_disk(
    written: Path, tmp_path: Path, little: Path, target: str
) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/noise").write_bytes(os.urandom(8 << 20))
    assert run(written, "image", "import", "big", str(root))[0] == 0
    code, lines = run(written, "image", "export", "big", str(little / target))
    assert code == 1 and not list(little.iterdir())
    assert f"{little} has " in lines[-1] and str(little / target) in lines[-1].replace("/.x", "/x")
    assert "image prune" not in lines[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_an_export_blames_the_disk_of_the_store_where_that_is_full(tmp_path: Path, little: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/hostname").write_text("one")
    config = write(tmp_path, little)
    assert run(config, "image", "import", "a", str(tmp_path / "root"))[0] == 0
    with pytest.raises(OSError, match="No space"), (little / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    code, lines = run(config, "image", "export", "a", str(tmp_path / "out"))
    assert code == 1 and f"{little}/registry.db: No space left" in lines[-1]
    assert f"{little} has 0 MiB left" in lines[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_disk_without_a_page_left_is_not_cured_by_commands_that_need_one(
    tmp_path: Path, little: Path
) -> None:
    config = write(tmp_path, little)
    assert run(config, "node", "add", "n1") == (0, [])
    with pytest.raises(OSError, match="No space"), (little / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    code, lines = run(config, "image", "gc")
    assert code == 1 and "make a little room there by other files first" in lines[-1]


@pytest.mark.parametrize("words", [(), ("--disk",)])
def test_a_pipe_is_no_image(written: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, lines = run(written, "image", "import", "a", str(tmp_path / "pipe"), *words)
    assert code == 1 and f"{tmp_path}/pipe is n" in lines[-1]
