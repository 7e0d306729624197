"""`bootsrv group`: DHCP options that a whole group of nodes shares. Who is in it is said at the nodes."""

from __future__ import annotations

import click

from bootsrv.cli.context import Context, as_json, options_of, pass_context, show_json, show_table


@click.group()
def group() -> None:
    """DHCP options of groups of nodes."""


@group.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """Groups, their options and how many nodes they have."""
    found = context.appliance.groups.list()
    if json_:
        show_json([{"name": one.name, "options": dict(one.options), "nodes": one.nodes} for one in found])
        return
    rows = [(one.name, one.nodes, ", ".join(f"{k}={v}" for k, v in one.options.items())) for one in found]
    show_table(("GROUP", "NODES", "OPTIONS"), rows, "there is no group yet")


@group.command(name="set")
@click.argument("name")
@click.argument("options", nargs=-1, required=True, metavar="NAME=VALUE...")
@pass_context
def set_(context: Context, name: str, options: tuple[str, ...]) -> None:
    """Set DHCP options of a group by their ISC names; an empty value removes one."""
    made = context.appliance.groups.set_options(name, options_of(options) or {})
    click.echo(f"{made.name}: {', '.join(f'{k}={v}' for k, v in made.options.items()) or 'no options'}")
