"""`bootsrv bench`: how fast a server is, measured from outside."""

from __future__ import annotations

import asyncio
import time
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import as_json, on_terminal, show_json, show_table

if TYPE_CHECKING:
    from bootsrv.storm.report import Report
    from bootsrv.storm.storm import Settings


@click.group()
def bench() -> None:
    """How fast a server is, measured from outside."""


@bench.command()
@click.option("--interface", required=True, help="Where the machines stand. Needs root.")
@click.option("--server", required=True, help="Only this server's offers are taken.")
@click.option("--machines", default=100, show_default=True, help="How many, at most 10000.")
@click.option("--ramp", default=0.0, show_default=True, help="Seconds over which they are switched on.")
@click.option("--limit", default=300.0, show_default=True, help="Seconds that one may take.")
@click.option("--firmware", default="uefi", show_default=True, help="bios, uefi or mixed.")
@click.option("--blksize", default=1432, show_default=True, help="TFTP block size asked for.")
@click.option(
    "--windowsize", default=1, show_default=True, help="TFTP blocks in flight asked for (RFC 7440)."
)
@click.option(
    "--loss", default=0.0, show_default=True, help="Share of DHCP and TFTP packets to lose, each way."
)
@click.option("--patience", default=1.0, show_default=True, help="Scales the waits of DHCP and TFTP.")
@click.option(
    "--attempts", default=1, show_default=True, help="Boots that a machine tries before it counts as failed."
)
@click.option("--file", default="", help="The loader, for a server that names none.")
@click.option(
    "--url", "urls", multiple=True, help="Load this instead of following a script; repeat for more."
)
@click.option(
    "--first", default=0, show_default=True, help="Number of the first machine; its MAC is made of it."
)
@click.option("--keep-leases", is_flag=True, help="Do not give the addresses back.")
@as_json
def storm(json_: bool, **given: Any) -> None:
    """Boot many simulated machines at once: DHCP, loader by TFTP, script, kernel and initrd by HTTP.

    Each has a MAC of its own (02:b0:07:...) and speaks from the address it leased, which is on the interface
    for that long. To bootsrv they are unknown machines: it will list them. Exit code 1 when one did not boot.
    """
    from bootsrv.storm.storm import run

    settings = _settings(**given)
    report = asyncio.run(run(settings, _progress(settings.machines)))
    if json_:
        show_json(report.record())
    else:
        _show(report)
    if report.failed:
        raise click.exceptions.Exit(1)


def _settings(
    interface: str, server: str, file: str, urls: tuple[str, ...], blksize: int, windowsize: int,
    patience: float, attempts: int, **rest: Any,
) -> Settings:  # fmt: skip
    from bootsrv.storm.machine import Way
    from bootsrv.storm.storm import Settings

    try:
        address = IPv4Address(server)
    except AddressValueError as error:
        raise click.BadParameter(f"{server!r} is not an IPv4 address", param_hint="--server") from error
    if (
        not 8 <= blksize <= 65464
        or not 1 <= windowsize <= 65535
        or not 0.001 <= patience <= 100
        or not 1 <= attempts <= 100
    ):
        raise click.UsageError(
            "--blksize is 8 to 65464, --windowsize 1 to 65535, --patience 0.001 to 100, --attempts 1 to 100"
        )
    way = Way(interface, address, file, urls, blksize, windowsize, patience=patience, attempts=attempts)
    return Settings(way, **rest)


def _progress(machines: int) -> Any:
    """One line that changes on a terminal, a line now and then elsewhere."""
    last = time.monotonic() - 60.0

    def show(started: int, booted: int, failed: int) -> None:
        nonlocal last
        line = f"{started} of {machines} switched on, {booted} booted, {failed} failed"
        if on_terminal():
            click.echo(f"\r\x1b[K{line}", err=True, nl=booted + failed == machines)
        elif booted + failed == machines or time.monotonic() - last >= 5.0:
            last = time.monotonic()
            click.echo(line, err=True)

    return show


def _show(report: Report) -> None:
    rows = [
        (name, spread.count, *(f"{seconds:.3f}" for seconds in (spread.p50, spread.p99, spread.longest)))
        for name, spread in report.stages
    ]
    show_table(("STAGE", "MACHINES", "P50 s", "P99 s", "MAX s"), rows, "no machine came through a stage")
    rate = report.bytes / report.seconds / 1e6 if report.seconds else 0.0
    click.echo(
        f"{report.booted} of {report.machines} booted ({report.again} not at once), {report.failed} failed, "
        f"in {report.seconds:.2f} s; "
        f"{report.bytes / 1e6:.1f} MB at {rate:.0f} MB/s; {report.retransmits} retransmissions"
    )
    for reason, count in report.failures:
        click.echo(f"{count} x {reason}")
