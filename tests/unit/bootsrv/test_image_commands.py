"""The image commands on a real store: what is done, what is said, what is refused."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli
from bootsrv.config import load
from bootsrv.errors import Conflict, Invalid
from bootsrv.model import NodeState
from images.exporting import formats
from images.importing.from_directory import import_directory

CONFIG = """data_dir = "{data}"
interfaces = ["lo"]
[[subnets]]
cidr = "10.77.0.0/24"
mode = "authoritative"
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "bootsrv.toml"
    file.write_text(CONFIG.format(data=tmp_path / "data"))
    return file


def run(config: Path, *words: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["--config", str(config), *map(str, words)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def bring(config: Path, tmp_path: Path, **files: str) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / "etc" / name).write_text(text)
    run(config, "image", "import", "a", root)


def test_diff_and_export(config: Path, tmp_path: Path) -> None:
    bring(config, tmp_path, hostname="one")
    bring(config, tmp_path, hostname="two", motd="x")
    said = run(config, "image", "diff", "a@1", "a@2")
    assert "a@1 -> a@2" in said and "changed   /etc/hostname (content" in said
    assert "added     /etc/motd" in said
    record = json.loads(run(config, "image", "diff", "a@1", "a@2", "--json"))
    assert record["counts"]["added"] == 1 and record["kernel"] == {"changed": False, "old": [], "new": []}
    assert "tar, 4 files" in run(config, "image", "export", "a", tmp_path / "x.tar")
    done = json.loads(run(config, "image", "export", "a@1", tmp_path / "out", "--json"))
    assert done["format"] == "directory" and (tmp_path / "out/etc/hostname").read_text() == "one"
    run(config, "image", "import", "b", tmp_path / "x.tar")
    assert "x.oci: oci, 4 files" in run(config, "image", "export", "a", tmp_path / "x.oci")
    assert (tmp_path / "x.oci/index.json").is_file()


def test_diff_tells_holes_from_content_and_writes_control_bytes_out(config: Path, tmp_path: Path) -> None:
    """A container image has no holes: what comes back from one has zeros there."""
    bring(config, tmp_path, hostname="one")
    data = os.urandom(70_001)
    for name in ("sparse", "other"):
        with (tmp_path / "root/etc" / name).open("wb") as file:
            file.write(data)
            file.seek(1 << 20)
            file.write(data)
            file.truncate(3 << 20)
    run(config, "image", "import", "a", tmp_path / "root")
    run(config, "image", "export", "a", tmp_path / "x.oci")
    run(config, "image", "import", "b", tmp_path / "x.oci")
    said = run(config, "image", "diff", "a@2", "b@1")
    assert "changed   /etc/sparse (holes" in said and "content" not in said.partition("\n")[2]
    with (tmp_path / "root/etc/other").open("r+b") as file:
        file.seek(2 << 20)
        file.write(b"x")
    (tmp_path / "root/etc/a\nb\x1b[1m").touch()
    run(config, "image", "import", "a", tmp_path / "root")
    said = run(config, "image", "diff", "b@1", "a@3")
    assert "/etc/sparse (holes" in said and "/etc/other (content" in said
    assert "added     /etc/a\\nb\\x1b[1m" in said


def test_an_import_says_how_much_of_it_is_new(config: Path, tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/one").write_bytes(os.urandom(40 << 10))
    assert "40 KiB (40 KiB new), 4" in run(config, "image", "import", "a", tmp_path / "root")
    assert "40 KiB (nothing new), 4" in run(config, "image", "import", "a", tmp_path / "root")
    (tmp_path / "root/two").write_bytes(os.urandom(10 << 10))
    assert "50 KiB (10 KiB new), 5" in run(config, "image", "import", "b", tmp_path / "root")
    book = (tmp_path / "data/store/names/a.book").read_text()
    assert '"added"' not in book, "an older bootsrv reads it, too"


def test_a_disk(config: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"no table and no file system" * 9000)
    made = json.loads(run(config, "image", "import", "d", disk, "--disk", "--json"))
    assert made["kind"] == "disk" and made["meta"]["disk"]["size"] == disk.stat().st_size
    assert "raw, 1 file, " in run(config, "image", "export", "d", tmp_path / "back.img")
    assert (tmp_path / "back.img").read_bytes() == disk.read_bytes()


def test_a_version_is_shown_in_words(config: Path, tmp_path: Path) -> None:
    for number in range(2):
        bring(config, tmp_path, hostname=f"n{number}")
    lines = run(config, "image", "show", "a").splitlines()
    assert "parent        a@1" in lines and not [line for line in lines if "{" in line or "_" in line]
    run(config, "image", "remove", "a@1")
    lines = run(config, "image", "show", "a").splitlines()
    assert [line for line in lines if re.fullmatch(r"parent +[0-9a-f]{12}, removed since", line)]


def test_versions_in_use_stay(config: Path, tmp_path: Path) -> None:
    for number in range(5):
        bring(config, tmp_path, hostname=f"n{number}")
    appliance = Appliance.open(load(config))
    try:
        images = appliance.images
        node = appliance.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"], image="a@2"), arm=False)
        images.tag("a@3", "stable")
        with pytest.raises(Conflict, match="a@2 is in use by n1"):
            images.remove("a@2")
        with pytest.raises(Conflict, match="stable"):
            images.remove("a@3")
        appliance.registry.nodes.save(replace(node, state=NodeState.RUNNING, running="a@1", image="a@stable"))
        with pytest.raises(Conflict, match="a@1 is in use by n1"):
            images.remove("a@1")
        with pytest.raises(Invalid, match="at least one"):
            images.prune("a", 0)
        assert [one.number for one in images.prune(None, 1, dry_run=True)] == [2, 4]
        assert len(images.list()) == 5
        assert [one.number for one in images.prune("a", 1)] == [2, 4]
        assert [one.number for one in images.list("a")] == [1, 3, 5]
    finally:
        appliance.close()
    assert "nothing to remove" not in run(config, "image", "prune", "--keep", "2")


def test_edit_says_what_became_of_it(config: Path, tmp_path: Path) -> None:
    bring(config, tmp_path, hostname="one")
    words = ["--config", str(config), "image", "edit", "a", "--", "ls", "-l", "--color"]
    done = CliRunner().invoke(cli, words)
    assert "nothing was published" in str(done.exception)  # there is no ls in it; its options are its own
    assert len(json.loads(run(config, "image", "list", "--json"))) == 1


def test_a_shape_for_what_has_one_already_is_refused(config: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\0" * 510 + b"\x55\xaa" + bytes(1 << 20))
    run(config, "image", "import", "--disk", "d", disk)
    bring(config, tmp_path, hostname="one")
    for ref, name, what in (("d", "x.raw", "d@1 (disk image)"), ("a", "x.tar", "a@1 as tar")):
        for words in (("--size", "1G"), ("--layout", "foo")):
            done = CliRunner().invoke(
                cli, ["--config", str(config), "image", "export", ref, str(tmp_path / name), *words]
            )
            assert isinstance(done.exception, Invalid), done.output
            assert str(done.exception).endswith(f"are for files that become raw or qcow2; this is {what}")
            assert not (tmp_path / name).exists()
    run(config, "image", "export", "d", tmp_path / "x.raw")


def test_what_is_left_out_of_a_directory_by_default_is_told(config: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("dev/a", "dev/b/c", "run/x", "etc/hostname"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    words = ["--config", str(config), "image", "import", "a", str(tree)]
    done = CliRunner().invoke(cli, words)
    assert "3 names were left out by default" in done.stderr
    assert "/dev/* (2), /run/* (1); --all" in done.stderr
    assert done.stdout.startswith("a@1: 5 files")
    done = CliRunner().invoke(cli, [*words, "--all"])
    assert "left out" not in done.stderr and done.stdout.startswith("a@2: 9 files")
    (tree / "dev/b/c").unlink()
    done = CliRunner().invoke(cli, [*words, "--all", "--exclude", "/dev/a"])
    assert "left out" not in done.stderr and done.stdout.startswith("a@3: 7 files")
    shown = CliRunner().invoke(cli, ["image", "import", "--help"]).stdout
    assert "/var/tmp" in shown and "--all" in shown


def test_an_interrupted_export_says_what_became_of_it(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(config, tmp_path, hostname="one")

    def interrupt(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(formats, "export_tar", interrupt)
    target = tmp_path / "out/x.tar"
    done = CliRunner().invoke(cli, ["--config", str(config), "image", "export", "a", str(target)])
    assert str(done.exception) == f"interrupted: {target} is as it was before"
    assert getattr(done.exception, "exit_code", 0) == 130 and not list(target.parent.iterdir())


def test_what_is_asked_for_wrongly_is_answered_with_the_way(config: Path, tmp_path: Path) -> None:
    words = ["--config", str(config), "image", "import", "a"]
    said = CliRunner().invoke(cli, [*words, str(tmp_path), "--recipe", "debian-12"])
    assert "give a SOURCE or a --recipe, not both" in said.stderr and said.exit_code == 2
    assert "not both" not in CliRunner().invoke(cli, words).stderr
    (tmp_path / "text").write_text("root:x:0:0\n" * 99)
    said = CliRunner().invoke(cli, [*words, str(tmp_path / "text")])
    assert "no archive" in str(said.exception)
    assert str(said.exception).endswith("; if it is a disk, say --disk")


def test_when_a_capture_was_made_is_shown_as_a_date(config: Path, tmp_path: Path) -> None:
    bring(config, tmp_path, hostname="one")
    appliance = Appliance.open(load(config))
    try:
        meta = {"captured": {"host": "n1", "at": 1795945423}}
        import_directory(appliance.images.store(), "b", tmp_path / "root", meta=meta)
    finally:
        appliance.close()
    (line,) = (one for one in run(config, "image", "show", "b").splitlines() if "host=n1" in one)
    assert re.search(r"at=2026-11-\d\d \d\d:\d\d:\d\d$", line)
