"""What a registration is changed to is said, can be taken back, and comes as JSON where a program asks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.appliance.roots import Wanted as RootWanted
from bootsrv.cli.context import Context
from bootsrv.cli.main import cli
from bootsrv.cli.node import node
from bootsrv.discovery import note_sighting
from bootsrv.errors import Needed
from bootsrv.model import Event
from bootsrv.registry.registry import Registry
from bootsrv.timeline import words
from pxe.dhcp.ports import Lease

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
# Those whose output is no record: a text that another program reads, or what goes on until it is ended.
NO_RECORD = {"answers diff", "answers hash", "answers import", "answers render", "log", "serve", "lab demo",
             "lab run", "lab seed"}  # fmt: skip


def told(house: Appliance) -> list[str]:
    return [event.text for event in house.watch.events() if event.kind == "node.changed"]


def test_an_event_says_what_changed(house: Appliance) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], groups=["rack3"]))
    house.nodes.set("n1", Wanted(image="debian@1", groups=["rack4"], address="10.77.0.11"))
    house.nodes.set("n1", Wanted(name="n2", macs=[MAC, OTHER], options={"interface-mtu": 9000}))
    house.nodes.set("n2", Wanted(mode="diskless", root="nbd", writes="paths", paths=["/home"]))
    house.nodes.set("n2", Wanted(macs=[OTHER, MAC], options={"interface-mtu": None}, clear=["groups"]))
    assert told(house) == [
        "changed: address none -> 10.77.0.11, method dynamic -> reserved, image none -> debian@1,"
        " groups +rack4 -rack3",
        f"changed: name n1 -> n2, mac +{OTHER}, option interface-mtu none -> 9000",
        "changed: mode none -> diskless, root none -> nbd, writes none -> paths, paths none -> /home",
        f"changed: mac {OTHER} first, groups -rack4, option interface-mtu 9000 -> none",
    ]


def test_paths_that_nothing_would_keep_are_refused(house: Appliance) -> None:
    house.nodes.add(Wanted(name="n1", image="debian", mode="diskless", root="nbd"))
    with pytest.raises(Needed, match="/home is not kept while writes are discard, not paths"):
        house.nodes.set("n1", Wanted(paths=["/home"]))
    with pytest.raises(Needed, match="not kept while writes are keep"):
        wish = RootWanted(writes="keep", paths=["/home"])
        house.roots.move([house.nodes.show("n1")], None, wish)
    house.nodes.set("n1", Wanted(writes="paths", paths=["/home"]))
    house.nodes.set("n1", Wanted(writes="discard"))
    assert house.nodes.set("n1", Wanted(paths=["/home"], write_limit="1G")).root.paths == ("/home",)
    # What the group names waits for nodes that want it.
    house.groups.set_boot("rack3", None, Wanted(paths=["/srv"]))
    house.nodes.set("n1", Wanted(clear=["paths"]))
    assert house.nodes.set("n1", Wanted(groups=["rack3"])).root.paths == ("/srv",)


def test_a_node_that_is_to_be_diskless_and_is_still_armed_is_told_of(house: Appliance) -> None:
    """Its disk would be written first: nobody who says `diskless` expects that."""
    context = Context(str(house.config.path))
    context.__dict__["appliance"] = house
    house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian"))
    said = CliRunner().invoke(node, ["set", "n1", "--mode", "diskless"], obj=context).output
    assert "n1 changed: mode none -> diskless" in said
    assert "still armed for debian@2, before that: `bootsrv reimage n1 --cancel`" in said
    house.deploys.cancel([house.nodes.show("n1")])
    house.nodes.set("n1", Wanted(mode="local"))
    assert "armed" not in CliRunner().invoke(node, ["set", "n1", "--mode", "diskless"], obj=context).output
    done = CliRunner().invoke(node, ["set", "n1", "--clear", "nmae"], obj=context)
    assert "nmae cannot be cleared, but address, image" in str(done.exception)


def test_what_was_saved_as_it_was_is_no_event(house: Appliance) -> None:
    node = house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian"))
    assert house.nodes.set("n1", Wanted(image="debian", macs=[MAC])) == node
    assert told(house) == []


def test_groups_that_are_cleared_are_inherited_from_no_more(house: Appliance) -> None:
    house.groups.set_boot("rack3", "diskless", Wanted())
    node = house.nodes.add(Wanted(name="n1", groups=["rack3"], image="debian"), arm=False)
    assert node.boots == "diskless"
    assert house.nodes.set("n1", Wanted(clear=["groups"])).boots == "local"
    assert house.nodes.show("n1").boots == "local" and house.nodes.list("rack3") == []


def test_a_progress_report_in_words() -> None:
    def said(kind: str, text: str = "", **data: object) -> str:
        return words(Event(1, 0.0, 1, MAC, 1, kind, text, data))

    numbers = {"done": 512 << 20, "total": 1 << 30, "rate": 80.0 * (1 << 20)}
    assert said("deploy.progress", **numbers) == "512 MiB of 1.0 GiB written (50 %), 80 MiB/s"
    assert said("deploy.progress", done=0, total=0) == "0 MiB of 0 MiB written"
    assert said("deploy.progress", done="x") == ""
    assert said("home", "runs", **numbers) == "runs"


class Shell:
    """`bootsrv` in this process."""

    def __init__(self, home: Path) -> None:
        self.config = home / "bootsrv.toml"
        self.data = home / "data"
        self.config.write_text(
            f'data_dir = "{self.data}"\n[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "authoritative"\n'
        )

    def __call__(self, *words: str) -> str:
        done = CliRunner().invoke(cli, ["--config", str(self.config), *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def registry(self) -> closing[Registry]:
        return closing(Registry.open(self.data / "registry.db"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_set_says_what_it_replaced(shell: Shell) -> None:
    shell("node", "add", "n[1-2]", "--group", "rack3", "--group", "old")
    assert shell("node", "set", "n[1-2]", "--group", "rack4") == (
        "n1 changed: groups +rack4 -old -rack3\nn2 changed: groups +rack4 -old -rack3\n"
    )
    shell("node", "set", "n1", "--mac", MAC)
    assert shell("node", "set", "n1", "--mac", OTHER) == f"n1 changed: mac +{OTHER} -{MAC}\n"
    assert shell("node", "set", "n1", "--group", "rack4") == "n1: nothing changed\n"
    assert shell("node", "set", "n1", "--clear", "groups") == "n1 changed: groups -rack4\n"
    assert shell("node", "set", "n1", "--identity", "serial=x1") == "n1 changed: identity serial=x1\n"
    text = " ".join(shell("node", "set", "--help").split())
    assert "instead of those it is in" in text and "groups, identities" in text


def test_a_discovered_machine_has_no_method_and_its_lease_is_shown(shell: Shell) -> None:
    shell("node", "add", "n1", "--address", "10.77.0.11", "--mac", "52:54:00:00:00:09")
    with shell.registry() as registry:
        note_sighting(registry, MAC, time.time())
        until = time.time() + 600
        registry.leases.commit([
            Lease(IPv4Address("10.77.0.100"), MAC, None, until),
            Lease(IPv4Address("10.77.0.101"), OTHER, None, until),
            Lease(IPv4Address("10.77.0.102"), "52:54:00:00:00:09", None, 1.0),
        ])  # fmt: skip
    row = shell("node", "list", "--unknown").splitlines()[1].split()
    assert row[1:] == ["discovered", "(10.77.0.100)", MAC]
    import json

    listed = {one["name"]: one for one in json.loads(shell("node", "list", "--all", "--json"))}
    assert (listed[None]["method"], listed[None]["address"], listed[None]["lease"]) == (
        None, None, "10.77.0.100"
    )  # fmt: skip
    assert (listed["n1"]["method"], listed["n1"]["lease"]) == ("reserved", None)
    assert json.loads(shell("node", "show", MAC, "--json"))["lease"] == "10.77.0.100"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, (*path, name))


def test_every_verb_that_lists_or_changes_has_json() -> None:
    found = dict(commands(cli))
    assert len(found) > 60
    lacking = {name for name, one in found.items() if not any("--json" in p.opts for p in one.params)}
    assert lacking == NO_RECORD


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("node add n2 --mac 52:54:00:00:00:02", "name"),
        ("node set n1 --group rack3", "groups"),
        ("node remove n1", "macs"),
        ("group set rack3 interface-mtu=9000", "options"),
        ("user passwd eve --generate", "password"),
        ("user token admin", "token"),
        ("power n1 via none", "n1"),
    ],
)
def test_changes_come_as_json(shell: Shell, command: str, key: str) -> None:
    import json

    shell("user", "passwd", "admin", "--generate")
    shell("node", "add", "n1", "--mac", MAC)
    made = json.loads(shell(*command.split(), "--json"))
    assert key in (made[0] if isinstance(made, list) else made)


def test_reimage_as_json_is_one_document_on_stdout(shell: Shell, tmp_path: Path) -> None:
    """Also with what is said beside it: a program reads the whole of stdout."""
    import json

    root = tmp_path / "root"
    for name in ("etc/os-release", "boot/vmlinuz-6.1", "bin/sh"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    shell("image", "import", "tiny", str(root))
    shell("node", "add", "n1", "--mac", MAC, "--image", "tiny", "--no-arm")
    done = subprocess.run(
        [sys.executable, "-m", "bootsrv.cli.main", "reimage", "n1", "--json"],
        env={**os.environ, "BOOTSRV_CONFIG": str(shell.config)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)[0]["armed"]["image"] == "tiny@1"
    assert json.loads(shell("image", "tag", "tiny@1", "good", "--json"))["tags"] == ["latest", "good"]
    assert json.loads(shell("reimage", "n1", "--cancel", "--json"))[0]["armed"] is None
