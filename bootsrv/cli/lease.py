"""`bootsrv lease`: who has which address, and giving one back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json, show_table

if TYPE_CHECKING:
    from pxe.dhcp.ports import Lease

FOR_EVER = float(1 << 53)


@click.group()
def lease() -> None:
    """Addresses that were given out."""


@lease.command(name="list")
@click.option("--all", "everything", is_flag=True, help="The ended ones too.")
@as_json
@pass_context
def list_(context: Context, everything: bool, json_: bool) -> None:
    """Who has which address. `declined`: found in use by somebody else, so it rests for an hour."""
    found = context.appliance.leases.list(everything)
    if json_:
        show_json([_record(one) for one in found])
        return
    rows = [(one.address, one.mac, one.state, _until(one), one.hostname) for one in found]
    show_table(("ADDRESS", "MAC", "STATE", "UNTIL", "NAME"), rows, "no address is given out")


@lease.command()
@click.argument("addresses", nargs=-1, required=True)
@as_json
@pass_context
def release(context: Context, addresses: tuple[str, ...], json_: bool) -> None:
    """Take ADDRESSES back. A machine that is still up asks for another when it next renews."""
    verbs = context.appliance
    with verbs.registry.transaction():
        ended = [verbs.leases.release(address) for address in addresses]
    if json_:
        show_json([_record(one) for one in ended])
        return
    for one in ended:
        click.echo(f"{one.address} released (was {one.mac or 'resting'})")


def _record(one: Lease) -> dict[str, object]:
    return {
        "address": str(one.address),
        "mac": one.mac,
        "client_id": one.client_id.hex() if one.client_id else None,
        "state": one.state,
        "expires": None if one.expires >= FOR_EVER else one.expires,
        "hostname": one.hostname,
    }


def _until(one: Lease) -> str:
    if one.expires >= FOR_EVER:
        return "for ever"
    return datetime.fromtimestamp(one.expires).astimezone().isoformat(" ", "seconds")
