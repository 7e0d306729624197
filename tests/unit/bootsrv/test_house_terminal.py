"""What machines say reaches a terminal as text only, and a bad word on the command line is one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli
from bootsrv.config import load
from bootsrv.errors import Invalid
from bootsrv.model import NodeState

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
    from dataclasses import replace

    node = verbs.nodes.add(Wanted(name="n1", macs=[MAC]))
    said = {"imager": EVIL, "dmi": {"vendor": EVIL}}
    verbs.registry.nodes.save(replace(node, facts=said, state=NodeState.FAILED, error=f"why {EVIL}"))
    verbs.registry.events.add(1.0, "tftp.error", f"no {EVIL}", MAC, node.id, {})
    done = CliRunner().invoke(cli, ["--config", str(file), *words])
    assert done.exit_code == 0, done.output
    assert "owned" in done.output
    assert not {"\x1b", "\x07", "\x9b"} & set(done.output)


@pytest.mark.parametrize("address", ["010.77.0.1", "١.1.1.1", "10.77.0", "10.77.0.256"])
def test_an_address_that_is_none(file: Path, address: str) -> None:
    done = CliRunner().invoke(cli, ["--config", str(file), "node", "add", "n1", "--address", address])
    assert isinstance(done.exception, Invalid)
