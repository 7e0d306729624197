"""`bootsrv node`: register machines and look at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli import registering
from bootsrv.cli.context import Context, as_json, harmless, pass_context, show_fields, show_json, show_table
from bootsrv.cli.paths import Existing

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from bootsrv.model import Node

HEADINGS = ("NAME", "STATE", "ADDRESS", "METHOD", "IMAGE", "RUNS", "MAC", "GROUPS")


@click.group()
def node() -> None:
    """Register machines and look at them."""


for command in (registering.add, registering.adopt, registering.set_, registering.remove):
    node.add_command(command)


@node.command(name="list")
@click.argument("nodes", required=False)
@click.option("--unknown", is_flag=True, help="Machines that were seen and are not registered.")
@click.option("--all", "everything", is_flag=True, help="Both.")
@as_json
@pass_context
def list_(context: Context, nodes: str | None, unknown: bool, everything: bool, json_: bool) -> None:
    """The registered nodes. An address in brackets is not registered: the machine holds a lease of it."""
    from bootsrv.records import leased

    verbs = context.appliance.nodes
    found: list[Node] = []
    if nodes is not None:
        found = list(verbs.select(nodes))
    else:
        found += verbs.list() if not unknown or everything else []
        found += verbs.unknown() if unknown or everything else []
    held = context.appliance.leases.held(found)
    if json_:
        show_json(leased(found, held))
        return
    rows = [_row(one, held.get(one.id)) for one in found]
    show_table(HEADINGS, rows, "no machine is unknown" if unknown else "no node is registered yet")


@node.command()
@click.argument("name")
@as_json
@pass_context
def show(context: Context, name: str, json_: bool) -> None:
    """One node: what it is, what it runs, what it is made of."""
    from bootsrv.records import leased, room_record, served_record
    from images.sizes import human

    found = context.appliance.nodes.show(name)
    (record,) = leased([found], context.appliance.leases.held([found]))
    record |= {"identities": context.appliance.identities.record(found)}
    call = context.appliance.pushes.last_call(found)
    record["agent"] = call.called if call is not None else None
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
    if call is not None:
        record["agent"] = f"asked for orders, last at {_when(call.called)}"
    if looked is not None:
        record["drift"] = f"{looked.count} names differ from {looked.image}, as of {_when(looked.at)}"
    if room is not None:
        record["room"] = f"{human(room.used)} of {human(room.size)}, as of {_when(room.at)}"
    facts = record.pop("facts")
    for key in ("created", "last_seen"):
        record[key] = _when(record[key])
    for key in ("diskless", "rooted", "armed", "served"):
        record[key] = _for_people(record[key])
    show_fields({**record, **{f"facts.{key}": value for key, value in facts.items()}})


@node.command()
@click.argument("nodes")
@as_json
@pass_context
def apply(context: Context, nodes: str, json_: bool) -> None:
    """Lay the files that this server has for running diskless NODES over their roots once more."""
    from bootsrv.errors import BootsrvError

    verbs = context.appliance
    done: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    for found in verbs.nodes.select(nodes):
        name = found.name or found.macs[0]
        try:
            done[name] = list(verbs.roots.apply(found))
        except BootsrvError as error:
            failed[name] = str(error)
            click.echo(harmless(str(error)), err=True)
            continue
        if not json_:
            click.echo(f"{name}: {', '.join(done[name]) or 'nothing was different'}")
    if json_:
        show_json({"done": done, "failed": failed})
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
@click.option("--checksum", is_flag=True, help="Read every file instead of trusting its times.")
@as_json
@pass_context
def drift(context: Context, nodes: str, checksum: bool, json_: bool) -> None:
    """Ask running NODES how they differ from their image now. What is excluded is not counted.

    A node that cannot be asked is named at the end; the others are shown.
    """
    from bootsrv import waves
    from bootsrv.errors import BootsrvError

    verbs = context.appliance
    said: dict[int, Mapping[str, Any]] = {}

    def one(node: Node) -> None:
        said[node.id] = verbs.pushes.drift(node, checksum)

    asked = verbs.nodes.select(nodes)
    outcome = waves.run(asked, one, max_fail=len(asked))
    found = {node.name or "": said[node.id] for node in asked if node.id in said}
    if json_:
        show_json(found | {node.name or "": {"error": str(error)} for node, error in outcome.failed})
    else:
        rows = [(name, how, path) for name, its in found.items() for path, how in its.get("files", ())]
        if rows or found:
            some = " of those that could be asked" if outcome.failed else ""
            show_table(("NODE", "HOW", "NAME"), rows, f"no node{some} differs from its image")
    if outcome.failed:
        why = "; ".join(str(error) for _, error in outcome.failed)
        raise BootsrvError(f"{len(outcome.failed)} of {len(asked)} could not be asked: {why}")


@node.command(name="import")
@click.argument("file", type=Existing(exists=True, dir_okay=False, path_type=Path))
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


def _row(found: Node, held: IPv4Address | None) -> tuple[object, ...]:
    state = f"{found.state}: {found.error}" if found.error else str(found.state)
    image = f"{found.image} (armed)" if found.armed else found.image
    return (
        found.name or f"#{found.id}", state, found.address or (f"({held})" if held else None),
        found.method if found.name else None, image, found.running,
        found.macs[0] if found.macs else None, ",".join(found.groups),
    )  # fmt: skip


_BYTES = ("write_limit", "sent", "received", "written", "limit")


def _for_people(record: dict[str, Any] | None) -> dict[str, Any]:
    """Times and sizes of a part of a node's record, as people read them."""
    from images.sizes import human

    shown = dict(record or {})
    for key, value in shown.items():
        if key in ("at", "since"):
            shown[key] = _when(value)
        elif key in _BYTES and value is not None:
            shown[key] = human(value)
        elif key == "hit_rate" and value is not None:
            shown[key] = f"{value:.0%}"
    return shown


def _when(at: float | None) -> str | None:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds") if at else None
