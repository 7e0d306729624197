"""`bootsrv export`: the roots that diskless machines have from this server."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_fields, show_json, show_table

if TYPE_CHECKING:
    from bootsrv.appliance.exports import Exported, Machine


@click.group()
def export() -> None:
    """Roots for diskless machines: what is exported, how, and who has it."""


@export.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """Every version that a diskless machine has now or gets at its next boot."""
    found = context.appliance.exports.list()
    if json_:
        show_json([asdict(one) for one in found])
        return
    rows = [
        (one.image, one.kind, one.state, one.users, _connected(one), _size(one.bytes), _size(one.sent),
         _share(one.hit_rate))
        for one in found
    ]  # fmt: skip
    head = ("IMAGE", "ROOT", "STATE", "MACHINES", "CONNECTED", "DISK", "SENT", "CACHED")
    show_table(head, rows, "no machine is diskless: bootsrv reimage NODES --diskless")


@export.command()
@click.argument("ref")
@as_json
@pass_context
def show(context: Context, ref: str, json_: bool) -> None:
    """One version (REF is NAME, NAME@NUMBER or NAME@TAG): its exports, and each machine that has it."""
    found = context.appliance.exports.show(ref)
    if json_:
        show_json([asdict(one) for one in found])
        return
    for one in found:
        show_fields(
            {
                "image": one.image, "root": one.kind, "state": one.state, "server": one.server,
                "path": one.path, "disk": _size(one.bytes), "sent": _size(one.sent),
                "from cache": _share(one.hit_rate), "left out": ", ".join(one.left_out) or None,
            }
        )  # fmt: skip
        head = ("MACHINE", "ADDRESS", "CONNECTED", "SENT", "CACHED", "RECEIVED", "WRITTEN")
        show_table(head, [_row(machine) for machine in one.machines], "no machine has it")


def _row(machine: Machine) -> tuple[Any, ...]:
    if machine.since is None:
        return machine.name, machine.address, "next boot", None, None, None, None
    connected = None if machine.connected is None else "yes" if machine.connected else "no"
    written = f"{_size(machine.written)} of {_size(machine.limit)}" if machine.limit else None
    sent = _size(machine.sent), _share(machine.hit_rate), _size(machine.received)
    return machine.name, machine.address, connected, *sent, written


def _connected(one: Exported) -> int | None:
    known = [machine.connected for machine in one.machines if machine.connected is not None]
    return sum(known) if known else None


def _share(rate: float | None) -> str | None:
    return f"{rate:.0%}" if rate is not None else None


def _size(count: int | None) -> str | None:
    from images.sizes import human

    return human(count) if count is not None else None
