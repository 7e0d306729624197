"""`bootsrv identify`: recognise a node by more than its MACs."""

from __future__ import annotations

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json, show_table


@click.command()
@click.argument("node")
@click.option(
    "--client-id", multiple=True, help="DHCP client identifier (option 61): text, or bytes as 0x..."
)
@click.option("--uuid", multiple=True, help="System UUID (option 97), as dmidecode shows it.")
@click.option("--serial", multiple=True, help="Serial number; counts until the node has a MAC.")
@click.option("--circuit-id", multiple=True, help="Relay port (option 82.1): text, or bytes as 0x...")
@click.option("--remote-id", multiple=True, help="Relay (option 82.2): text, or bytes as 0x...")
@click.option("--only", is_flag=True, help="Forget those it had before.")
@as_json
@pass_context
def identify(
    context: Context,
    node: str,
    client_id: tuple[str, ...],
    uuid: tuple[str, ...],
    serial: tuple[str, ...],
    circuit_id: tuple[str, ...],
    remote_id: tuple[str, ...],
    only: bool,
    json_: bool,
) -> None:
    """Give NODE its address and options also when it asks with one of these identities; without options, show
    them. They come before the MAC: a machine on that relay port is that node, whichever card it has."""
    verbs = context.appliance
    found = verbs.nodes.show(node)
    given = {
        "client-id": client_id,
        "uuid": uuid,
        "serial": serial,
        "circuit-id": circuit_id,
        "remote-id": remote_id,
    }
    pairs = [(kind, value) for kind, values in given.items() for value in values]
    if pairs or only:
        verbs.identities.set(found, pairs, only)
    known = verbs.identities.of(found)
    if json_:
        show_json([{"kind": kind, "value": value} for kind, value in known])
        return
    show_table(("KIND", "VALUE"), known, f"{found.name} is known by its MACs only")
