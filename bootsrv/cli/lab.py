"""`bootsrv lab`: virtual machines with real firmware in a network of their own, until Ctrl-C."""

from __future__ import annotations

import threading
from pathlib import Path

import click

FIRMWARE = click.Choice(["bios", "uefi", "uefi-http", "uefi-secure"])


@click.group()
def lab() -> None:
    """Virtual machines with real firmware in a private network that vanishes with this command."""


@lab.command()
@click.option("--nodes", type=click.IntRange(1, 250), default=1, show_default=True, help="How many machines.")
@click.option("--firmware", type=FIRMWARE, default="uefi", show_default=True)
@click.option("--memory", type=click.IntRange(256), default=1024, show_default=True, help="MiB each.")
@click.option("--disk", type=click.IntRange(0), default=8192, show_default=True, help="MiB each; 0: none.")
@click.option("--port", type=int, default=8090, show_default=True, help="Of the page, on this host.")
@click.option(
    "--store",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Try the images of this store.",
)
@click.option(
    "--capture",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what goes over the wire to this pcap file.",
)
def run(
    nodes: int, firmware: str, memory: int, disk: int, port: int, store: Path | None, capture: Path | None
) -> None:
    """Switch on blank machines beside a fresh service, to try images on from the page or the shell."""
    from bootsrv.lab.capture import Capture
    from bootsrv.lab.firmware import Firmware
    from bootsrv.lab.lab import Lab
    from bootsrv.lab.seed import plant

    with Lab() as place:
        if store is not None:
            plant(store, place.service.data)
        place.service.start()
        if capture is not None:
            Capture(place.namespace, capture.absolute())  # ends with the lab
        user, password = place.service.first_login()
        click.echo(f"page      {place.open_door(port)}  ({user} / {password})")
        click.echo(f"verbs     BOOTSRV_CONFIG={place.service.config} bootsrv node list")
        for _ in range(nodes):
            machine = place.add(Firmware(firmware), memory, disk)
            machine.on()
            click.echo(f"{machine.spec.name:<9} {machine.spec.mac}  console: tail -f {machine.console.path}")
        click.echo("Ctrl-C ends it all")
        _stay()


@lab.command()
@click.option("--once", is_flag=True, help="End when the machine has answered from its own disk.")
@click.option("--firmware", type=FIRMWARE, default="uefi", show_default=True)
@click.option("--port", type=int, default=8090, show_default=True, help="Of the page, on this host.")
@click.option("--timeout", type=float, default=900.0, show_default=True, metavar="SECONDS")
def demo(once: bool, firmware: str, port: int, timeout: float) -> None:
    """The main job from power-on to its own disk, shown as it happens. Exit code 0 when the machine runs."""
    from bootsrv.lab import demo as main_job
    from bootsrv.lab.firmware import Firmware
    from bootsrv.lab.lab import Lab
    from bootsrv.lab.story import Story

    story = Story()
    with Lab() as place:
        options = main_job.DemoOptions(Firmware(firmware), port=0 if once else port, seconds=timeout)
        url = main_job.run(place, options, story)
        if once:
            return
        user, password = place.service.first_login()
        story.say(f"the lab stays up: {url}  ({user} / {password}); Ctrl-C ends it")
        _stay()


@lab.command(hidden=True)
@click.argument("pairs", nargs=-1, metavar="NAME=RECIPE...")
def seed(pairs: tuple[str, ...]) -> None:
    """Build the images that labs keep between runs, so that the next lab need not wait for them."""
    from bootsrv.lab.seed import seeded_store

    split = [pair.partition("=") for pair in pairs]
    seeded_store({name: recipe for name, _, recipe in split}, click.echo)


def _stay() -> None:
    threading.Event().wait()
