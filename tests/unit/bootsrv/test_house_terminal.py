"""What machines say reaches a terminal as text only, and a bad word on the command line is one clear line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli, main
from bootsrv.config import load
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.model import NodeState, Root, Rooted, RootKind, Writes

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m"
MAC = "52:54:00:00:00:01"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bootsrv.toml"
    path.write_text(f'data_dir = "{tmp_path}/data"\n[[subnets]]\ncidr = "10.77.0.0/24"\n')
    (tmp_path / "data").mkdir()
    return path


@pytest.fixture
def verbs(file: Path) -> Iterator[Appliance]:
    appliance = Appliance.open(load(file))
    yield appliance
    appliance.close()


@pytest.mark.parametrize(
    "words", [("node", "show", "n1"), ("node", "list"), ("events",), ("timeline", "n1", "--events")]
)
def test_nothing_steers_the_terminal(file: Path, verbs: Appliance, words: tuple[str, ...]) -> None:
    node = verbs.nodes.add(Wanted(name="n1", macs=[MAC]))
    said = {"imager": EVIL, "dmi": {"vendor": EVIL}}
    verbs.registry.nodes.save(replace(node, facts=said, state=NodeState.FAILED, error=f"why {EVIL}"))
    verbs.registry.events.add(1.0, "tftp.error", f"no {EVIL}", MAC, node.id, {})
    done = CliRunner().invoke(cli, ["--config", str(file), *words])
    assert done.exit_code == 0, done.output
    assert "owned" in done.output
    assert not {"\x1b", "\x07", "\x9b"} & set(done.output)


def test_nor_does_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A node's own words may be in it."""

    def failed(**given: object) -> None:
        raise BootsrvError(f"n1: {EVIL}\nand more")

    monkeypatch.setattr(cli, "main", failed)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("bootsrv: n1: ") and said.endswith("\nand more\n") and "owned" in said
    assert not {"\x1b", "\x07", "\x9b"} & set(said)


@pytest.mark.parametrize("address", ["010.77.0.1", "١.1.1.1", "10.77.0", "10.77.0.256"])
def test_an_address_that_is_none(file: Path, address: str) -> None:
    done = CliRunner().invoke(cli, ["--config", str(file), "node", "add", "n1", "--address", address])
    assert isinstance(done.exception, Invalid)


def test_a_node_is_shown_in_words(file: Path, verbs: Appliance) -> None:
    options = {"interface-mtu": 9000, "ntp-servers": ["10.77.0.1", "10.77.0.2"]}
    node = verbs.nodes.add(Wanted(name="n1", macs=[MAC], options=options))
    root = Root(RootKind.NBD, Writes.PATHS, ("/home", "/srv"), 2 << 30)
    disks = [{"name": "/dev/vda", "model": "", "size": 5, "is_ssd": False}, {"name": "/dev/vdb", "size": 6}]
    facts = {"disks": disks, "secure_boot": True}
    verbs.registry.nodes.save(replace(node, rooted=Rooted("debian@2", root, 1.0), facts=facts))
    lines = CliRunner().invoke(cli, ["--config", str(file), "node", "show", "n1"]).output.splitlines()
    shown = {name: text.strip() for name, text in (line.split("  ", 1) for line in lines)}
    assert shown["options"] == "interface-mtu=9000, ntp-servers=10.77.0.1,10.77.0.2"
    assert re.fullmatch(
        r"image=debian@2, at=19\d\d-\S+ \S+, root=nbd, writes=paths, paths=/home,/srv, write-limit=2.0 GiB",
        shown["rooted"],
    )
    assert shown["facts.disks"] == "name=/dev/vda, size=5, is-ssd=no; name=/dev/vdb, size=6"
    assert shown["facts.secure boot"] == "yes" and "last seen" not in shown
