"""`bootsrv power`: switch nodes on and off."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json, show_table

if TYPE_CHECKING:
    from bootsrv.model import Node

JOBS = 32


@click.command()
@click.argument("nodes")
@click.argument("action", type=click.Choice(["on", "off", "cycle", "status", "via"]))
@click.argument("controller", required=False)
@click.option("--hard", is_flag=True, help="off: cut the power, do not ask the system.")
@click.option("--network", is_flag=True, help="on, cycle: boot from the network, this once.")
@click.option(
    "--password-file", type=click.Path(path_type=Path),
    help="via: has the password; else it is asked for, or read from standard input.",
)  # fmt: skip
@as_json
@pass_context
def power(
    context: Context, nodes: str, action: str, controller: str | None, hard: bool, network: bool,
    password_file: Path | None, json_: bool,
) -> None:  # fmt: skip
    """Switch NODES on or off, restart them (cycle), or see which are on (status).

    `via CONTROLLER` says where a node's switch is: ipmi://USER@HOST, redfish://USER@HOST, or none; {name} in
    it is the node's name. Without a controller, `on` wakes by Wake-on-LAN, and `off` and `cycle` ask the
    running system.
    """
    chosen = context.appliance.nodes.select(nodes)
    if action == "via":
        _set(context, chosen, controller, password_file, json_)
        return
    if controller is not None:
        raise click.UsageError(f"{action} takes no more words: {controller}")
    if (hard and action != "off") or (network and action not in ("on", "cycle")):
        raise click.UsageError("--hard goes with off, --network with on and cycle")
    _act(context, chosen, action, hard, network, json_)


def _act(
    context: Context, nodes: Sequence[Node], action: str, hard: bool, network: bool, json_: bool
) -> None:
    from bootsrv import waves
    from bootsrv.errors import BootsrvError

    verbs, said = context.appliance, dict[str, str]()

    def one(node: Node) -> None:
        name = node.name or node.macs[0]
        said[name] = verbs.powers.act(node, action, hard, network)
        if not json_ and action != "status":
            click.echo(f"{name}: {said[name]}")

    outcome = waves.run(nodes, one, JOBS, max_fail=len(nodes))
    failed = {node.name or node.macs[0]: str(error) for node, error in outcome.failed}
    if json_:
        show_json({"done": said, "failed": failed})
    elif action == "status":
        rows = [(node.name, said.get(node.name or ""), str(verbs.powers.door(node) or "")) for node in nodes]
        show_table(("NODE", "POWER", "CONTROLLER"), rows, "no node")
    if failed:
        raise BootsrvError(f"{len(failed)} of {len(nodes)} failed: {'; '.join(list(failed.values())[:5])}")


def _set(
    context: Context, nodes: Sequence[Node], controller: str | None, password_file: Path | None, json_: bool
) -> None:
    powers = context.appliance.powers
    if controller is None:
        raise click.UsageError("say which: via ipmi://USER@HOST, via redfish://USER@HOST, via none")
    if controller == "none":
        for node in nodes:
            powers.clear_door(node)
            if not json_:
                click.echo(f"{node.name}: no controller")
        if json_:
            show_json({node.name: None for node in nodes})
        return
    if password_file is not None:
        password = password_file.read_text().rstrip("\n")
    elif sys.stdin.isatty():
        password = click.prompt("Password of the controller", hide_input=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
        if not password:
            raise click.UsageError("the controller's password: on standard input, or --password-file FILE")
    set_to = {str(node.name): str(powers.set_door(node, controller, password)) for node in nodes}
    if json_:
        show_json(set_to)
        return
    for name, door in set_to.items():
        click.echo(f"{name}: {door}")
