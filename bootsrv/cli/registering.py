"""`bootsrv node add, adopt, set, remove`: what nodes are to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bootsrv.cli.context import Context, as_json, options_of, pass_context, show_json
from bootsrv.cli.roots import ROOT_OPTIONS, root_of

if TYPE_CHECKING:
    from bootsrv.appliance.nodes import Wanted
    from bootsrv.model import Node

F = TypeVar("F", bound=Callable[..., Any])
CLEARABLE = (
    "address", "image", "disk", "layout", "profile", "groups", "identities", "mode", "root", "writes",
    "paths", "write-limit",
)  # fmt: skip


def _fields(command: F) -> F:
    """The options that say what a node is to be."""
    for option in reversed(
        (
            click.option(
                "--mac", "macs", multiple=True,
                help="A MAC address; again for more. `set`: instead of those it has.",
            ),
            click.option("--address", help="IPv4 address; of a range: the first one."),
            click.option("--method", help="reserved, dynamic, static or untouched."),
            click.option("--image", help="NAME, NAME@NUMBER or NAME@TAG."),
            click.option(
                "--group", "groups", multiple=True,
                help="A group; again for more. `set`: instead of those it is in.",
            ),
            click.option("--disk", help="/dev/NAME or serial:NUMBER; default: the smallest that fits."),
            click.option("--layout", help="A disk layout of the configuration ([layouts.NAME])."),
            click.option(
                "--profile", help="A stored profile (`bootsrv answers list`), for its answer files."
            ),
            click.option("--mode", help="What it boots when nothing is armed: local, diskless or discover."),
            *ROOT_OPTIONS,
            click.option(
                "--option", "options", multiple=True, metavar="NAME=VALUE", help="A DHCP option by ISC name."
            ),
        )
    ):
        command = option(command)
    return command


_identities = click.option(
    "--identity", "identities", multiple=True, metavar="KIND=VALUE",
    help="Known by more than its MACs: client-id, uuid, serial, circuit-id, remote-id; again for more.",
)  # fmt: skip


def _identify(context: Context, found: Node, identities: tuple[str, ...], only: bool = False) -> None:
    from bootsrv.appliance.identities import read

    if identities or only:
        context.appliance.identities.set(found, [read(text) for text in identities], only)


@click.command()
@click.argument("nodes")
@_fields
@click.option("--no-arm", is_flag=True, help="Do not image it at its first boot.")
@_identities
@as_json
@pass_context
def add(
    context: Context, /, nodes: str, no_arm: bool, identities: tuple[str, ...], json_: bool, **given: Any
) -> None:
    """Register a node, or a range of them: n[01-32] with the first --address.

    With an image, each is imaged once, at its next network boot.
    """
    from bootsrv import nodeset

    names = nodeset.expand(nodes)
    wanted = _wanted(given)
    if len(names) > 1 and len(wanted.macs or ()) not in (0, len(names)):
        raise click.UsageError(
            f"{len(names)} nodes and {len(wanted.macs or ())} MACs: give one for each, or none"
        )
    if len(names) > 1 and identities:
        raise click.UsageError("--identity can be given for one node only")
    verbs = context.appliance
    with verbs.registry.transaction():
        made = [
            verbs.nodes.add(_of_place(wanted, name, place, len(names)), arm=not no_arm)
            for place, name in enumerate(names)
        ]
        _identify(context, made[0], identities)
    _told(made, json_)


def _of_place(wanted: Wanted, name: str, place: int, count: int) -> Wanted:
    from bootsrv import names

    address = names.address(wanted.address) + place if wanted.address else None
    macs = wanted.macs if count == 1 else list(wanted.macs or ())[place : place + 1]
    return replace(wanted, name=name, address=address, macs=macs)


@click.command()
@click.argument("machine")
@click.argument("name", required=False)
@click.option("--name", "named", help="The same as the argument.")
@_fields
@click.option("--no-arm", is_flag=True, help="Do not image it now.")
@as_json
@pass_context
def adopt(
    context: Context, /, machine: str, name: str | None, named: str | None, no_arm: bool, json_: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Give MACHINE (a MAC of the unknown list) a NAME and, with --image, image it."""
    chosen = name or named
    if chosen is None:
        raise click.UsageError("a name is missing: bootsrv node adopt MAC NAME")
    wanted = replace(_wanted(given), name=chosen, macs=list(given["macs"]) or None)
    _told([context.appliance.nodes.adopt(machine, wanted, arm=not no_arm)], json_)


@click.command(name="set")
@click.argument("nodes")
@_fields
@click.option("--name", help="A new name (one node only).")
@click.option("--clear", multiple=True, help=f"Take away: {', '.join(CLEARABLE)}.")
@_identities
@as_json
@pass_context
def set_(
    context: Context,
    /,
    nodes: str,
    name: str | None,
    clear: tuple[str, ...],
    identities: tuple[str, ...],
    json_: bool,
    **given: Any,
) -> None:
    """Change registered NODES. What is given takes the place of what was there: --group and --mac too.

    A new image is used at the next imaging; see `bootsrv reimage`.
    """
    from bootsrv.appliance.differences import changes

    if not (name or clear or identities or any(given.values())):
        raise click.UsageError("nothing to change: say what, such as --image NAME")
    verbs = context.appliance
    chosen = verbs.nodes.select(nodes)
    told = {"mac": given["macs"], "address": given["address"], "name": name, "identity": identities}
    single = [key for key, value in told.items() if value]
    if len(chosen) > 1 and single:
        raise click.UsageError(f"--{single[0]} can be set for one node only")
    given["groups"] = given["groups"] or None
    wanted = replace(_wanted(given), name=name, macs=list(given["macs"]) or None)
    wanted = replace(wanted, clear=[key for key in clear if key != "identities"])
    with verbs.registry.transaction():
        changed = [verbs.nodes.set(f"#{found.id}", wanted) for found in chosen]
        for found in changed:
            _identify(context, found, identities, "identities" in clear)
    if json_:
        _told(changed, json_)
        return
    known = ["identities cleared"] if "identities" in clear else []
    known += [f"identity {text}" for text in identities]
    for before, after in zip(chosen, changed, strict=True):
        what = ", ".join([*changes(before, after), *known])
        click.echo(f"{after.name} changed: {what}" if what else f"{after.name}: nothing changed")
        if after.armed and after.mode == "diskless" != before.mode:
            how = f"bootsrv reimage {after.name} --cancel"
            click.echo(f"{after.name} is still armed for {after.armed.what}, before that: `{how}`", err=True)


@click.command()
@click.argument("nodes")
@click.option("--force", is_flag=True, help="Even one that is being imaged.")
@as_json
@pass_context
def remove(context: Context, nodes: str, force: bool, json_: bool) -> None:
    """Forget NODES. Their disks are not touched."""
    verbs = context.appliance
    chosen = verbs.nodes.select(nodes)
    with verbs.registry.transaction():
        for found in chosen:
            verbs.nodes.remove(f"#{found.id}", force)
    if json_:
        show_json([{"id": found.id, "name": found.name, "macs": list(found.macs)} for found in chosen])
        return
    for found in chosen:
        click.echo(f"{found.name or found.macs[0]} removed")


def _wanted(given: dict[str, Any]) -> Wanted:
    from bootsrv.appliance.nodes import Wanted

    return Wanted(
        macs=list(given["macs"]),
        address=given["address"],
        method=given["method"],
        image=given["image"],
        groups=list(given["groups"]) if given["groups"] else None,
        disk=given["disk"],
        layout=given["layout"],
        profile=given["profile"],
        options=options_of(given["options"]),
        mode=given["mode"],
        **root_of(given),
    )


def _told(nodes: Sequence[Node], json_: bool) -> None:
    if json_:
        from bootsrv.records import node_record

        show_json([node_record(found) for found in nodes])
        return
    for found in nodes:
        armed = f", armed for {found.armed.what}" if found.armed else ""
        address = f" at {found.address}" if found.address else ""
        click.echo(f"{found.name} registered{address}{armed}")
