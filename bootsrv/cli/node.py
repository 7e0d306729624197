"""`bootsrv node`: register machines and look at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bootsrv.cli.context import Context, as_json, options_of, pass_context, show_fields, show_json, show_table
from bootsrv.cli.roots import ROOT_OPTIONS, root_of

if TYPE_CHECKING:
    from bootsrv.appliance.nodes import Wanted
    from bootsrv.model import Node

F = TypeVar("F", bound=Callable[..., Any])
CLEARABLE = (
    "address", "image", "disk", "layout", "profile", "identities", "mode", "root", "writes", "paths",
    "write-limit",
)  # fmt: skip
HEADINGS = ("NAME", "STATE", "ADDRESS", "METHOD", "IMAGE", "RUNS", "MAC", "GROUPS")


def _fields(command: F) -> F:
    """The options that say what a node is to be."""
    for option in reversed(
        (
            click.option("--mac", "macs", multiple=True, help="A MAC address; give it again for more."),
            click.option("--address", help="IPv4 address; of a range: the first one."),
            click.option("--method", help="reserved, dynamic, static or untouched."),
            click.option("--image", help="NAME, NAME@NUMBER or NAME@TAG."),
            click.option("--group", "groups", multiple=True, help="A group; give it again for more."),
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


@click.group()
def node() -> None:
    """Register machines and look at them."""


@node.command()
@click.argument("nodes")
@_fields
@click.option("--no-arm", is_flag=True, help="Do not image it at its first boot.")
@_identities
@pass_context
def add(context: Context, /, nodes: str, no_arm: bool, identities: tuple[str, ...], **given: Any) -> None:
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
    _told(made)


def _of_place(wanted: Wanted, name: str, place: int, count: int) -> Wanted:
    from bootsrv import names

    address = names.address(wanted.address) + place if wanted.address else None
    macs = wanted.macs if count == 1 else list(wanted.macs or ())[place : place + 1]
    return replace(wanted, name=name, address=address, macs=macs)


@node.command()
@click.argument("machine")
@click.argument("name", required=False)
@click.option("--name", "named", help="The same as the argument.")
@_fields
@click.option("--no-arm", is_flag=True, help="Do not image it now.")
@pass_context
def adopt(
    context: Context, /, machine: str, name: str | None, named: str | None, no_arm: bool, **given: Any
) -> None:
    """Give MACHINE (a MAC of the unknown list) a NAME and, with --image, image it."""
    chosen = name or named
    if chosen is None:
        raise click.UsageError("a name is missing: bootsrv node adopt MAC NAME")
    wanted = replace(_wanted(given), name=chosen, macs=list(given["macs"]) or None)
    _told([context.appliance.nodes.adopt(machine, wanted, arm=not no_arm)])


@node.command(name="set")
@click.argument("nodes")
@_fields
@click.option("--name", help="A new name (one node only).")
@click.option("--clear", multiple=True, help=f"Take away: {', '.join(CLEARABLE)}.")
@_identities
@pass_context
def set_(
    context: Context,
    /,
    nodes: str,
    name: str | None,
    clear: tuple[str, ...],
    identities: tuple[str, ...],
    **given: Any,
) -> None:
    """Change registered NODES. A new image is used at the next imaging; see `bootsrv reimage`."""
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
    _told(changed, "changed")


@node.command(name="list")
@click.argument("nodes", required=False)
@click.option("--unknown", is_flag=True, help="Machines that were seen and are not registered.")
@click.option("--all", "everything", is_flag=True, help="Both.")
@as_json
@pass_context
def list_(context: Context, nodes: str | None, unknown: bool, everything: bool, json_: bool) -> None:
    """The registered nodes."""
    from bootsrv.records import node_record

    verbs = context.appliance.nodes
    found: list[Node] = []
    if nodes is not None:
        found = list(verbs.select(nodes))
    else:
        found += verbs.list() if not unknown or everything else []
        found += verbs.unknown() if unknown or everything else []
    if json_:
        show_json([node_record(one) for one in found])
        return
    show_table(
        HEADINGS, map(_row, found), "no machine is unknown" if unknown else "no node is registered yet"
    )


@node.command()
@click.argument("name")
@as_json
@pass_context
def show(context: Context, name: str, json_: bool) -> None:
    """One node: what it is, what it runs, what it is made of."""
    from bootsrv.records import node_record, room_record, served_record

    found = context.appliance.nodes.show(name)
    record = node_record(found) | {"identities": context.appliance.identities.record(found)}
    looked = context.appliance.pushes.last_drift(found)
    record["drift"] = looked.count if looked is not None else None
    room = context.appliance.roots.room(found)
    record["room"] = room_record(room) if room is not None else None
    machine = context.appliance.exports.of(found)
    record["served"] = served_record(machine) if machine is not None else None
    if json_:
        show_json(record)
        return
    record |= {"identities": [f"{kind}={value}" for kind, value in context.appliance.identities.of(found)]}
    if looked is not None:
        record["drift"] = f"{looked.count} names differ from {looked.image}, as of {_when(looked.at)}"
    facts = record.pop("facts")
    for key in ("created", "last_seen"):
        record[key] = _when(record[key])
    show_fields({**record, **{f"facts.{key}": value for key, value in facts.items()}})


@node.command()
@click.argument("nodes")
@pass_context
def apply(context: Context, nodes: str) -> None:
    """Lay the files that this server has for running diskless NODES over their roots once more."""
    from bootsrv.errors import BootsrvError

    verbs, failed = context.appliance, False
    for found in verbs.nodes.select(nodes):
        try:
            changed = verbs.roots.apply(found)
        except BootsrvError as error:
            failed = True
            click.echo(str(error), err=True)
            continue
        click.echo(f"{found.name}: {', '.join(changed) or 'nothing was different'}")
    if failed:
        raise SystemExit(1)


@node.command()
@click.argument("nodes")
@as_json
@pass_context
def diskkey(context: Context, nodes: str, json_: bool) -> None:
    """Show the passphrase of NODES' encrypted disks, for the console of a machine that cannot fetch it."""
    from bootsrv import diskkeys

    verbs = context.appliance
    rows = [
        {"name": found.name, "passphrase": diskkeys.passphrase(verbs.registry, found)}
        for found in verbs.nodes.select(nodes)
    ]
    if json_:
        show_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']}\t{row['passphrase']}")


@node.command()
@click.argument("nodes")
@click.option("--force", is_flag=True, help="Even one that is being imaged.")
@pass_context
def remove(context: Context, nodes: str, force: bool) -> None:
    """Forget NODES. Their disks are not touched."""
    verbs = context.appliance
    chosen = verbs.nodes.select(nodes)
    with verbs.registry.transaction():
        for found in chosen:
            verbs.nodes.remove(f"#{found.id}", force)
    for found in chosen:
        click.echo(f"{found.name or found.macs[0]} removed")


@node.command()
@click.argument("nodes")
@click.option("--checksum", is_flag=True, help="Read every file instead of trusting its times.")
@as_json
@pass_context
def drift(context: Context, nodes: str, checksum: bool, json_: bool) -> None:
    """Ask running NODES how they differ from their image now. What is excluded is not counted."""
    verbs = context.appliance
    found = {one.name or "": verbs.pushes.drift(one, checksum) for one in verbs.nodes.select(nodes)}
    if json_:
        show_json(found)
        return
    rows = [(name, how, path) for name, said in found.items() for path, how in said.get("files", ())]
    show_table(("NODE", "HOW", "NAME"), rows, "no node differs from its image")


@node.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be taken over.")
@click.option("--dialect", type=click.Choice(("isc", "dnsmasq", "kea")), help="Default: seen from the file.")
@click.option("--no-lookup", is_flag=True, help="Do not look up names that stand where addresses should.")
@click.option("--keep-boot-files", is_flag=True, help="Set the old boot files and servers as options.")
@as_json
@pass_context
def import_(
    context: Context,
    file: Path,
    dry_run: bool,
    dialect: str | None,
    no_lookup: bool,
    keep_boot_files: bool,
    json_: bool,
) -> None:
    """Take over hosts and groups of an ISC dhcpd.conf, a dnsmasq.conf or a Kea configuration.

    Prints its subnets as configuration, and a note for everything that is not taken over. Nothing is imaged
    by this. A second import leaves the nodes alone that are there.
    """
    from bootsrv.cli import takeover

    takeover.take_over(context, takeover.read(file, dialect, not no_lookup, keep_boot_files), dry_run, json_)


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


def _told(nodes: list[Node], done: str = "registered") -> None:
    for found in nodes:
        armed = f", armed for {found.armed.what}" if found.armed else ""
        address = f" at {found.address}" if found.address else ""
        click.echo(f"{found.name} {done}{address}{armed}")


def _row(found: Node) -> tuple[object, ...]:
    state = f"{found.state}: {found.error}" if found.error else str(found.state)
    image = f"{found.image} (armed)" if found.armed else found.image
    return (
        found.name or f"#{found.id}", state, found.address, found.method, image, found.running,
        found.macs[0] if found.macs else None, ",".join(found.groups),
    )  # fmt: skip


def _when(at: float | None) -> str | None:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds") if at else None
