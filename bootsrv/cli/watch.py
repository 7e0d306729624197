"""`bootsrv explain`, `timeline`, `events` and `log`: what is, what was, what happens."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from bootsrv.cli.context import Context, as_json, harmless, pass_context, show_json

if TYPE_CHECKING:
    from bootsrv.model import Event
    from bootsrv.timeline import Boot


@click.command()
@click.argument("node")
@as_json
@pass_context
def explain(context: Context, node: str, json_: bool) -> None:
    """What NODE would boot if it asked now, and why."""
    found = context.appliance.watch.explain(context.appliance.nodes.show(node))
    if json_:
        show_json([{"label": line.label, "text": line.text} for line in found])
        return
    for line in found:
        click.echo(f"{line.label.ljust(8)}  {line.text}")


@click.command()
@click.argument("node")
@click.option(
    "--boots", type=click.IntRange(1), default=1, show_default=True, help="How many boots, the newest first."
)
@click.option("--events", "full", is_flag=True, help="Every event, not only the stages.")
@as_json
@pass_context
def timeline(context: Context, node: str, boots: int, full: bool, json_: bool) -> None:
    """NODE's boots, stage by stage."""
    from bootsrv.records import boot_record

    found = context.appliance.watch.boots(context.appliance.nodes.show(node), boots)
    if json_:
        show_json([boot_record(boot) for boot in found])
        return
    if not found:
        click.echo(f"{node} has not been seen on the network yet", err=True)
    for boot in found:
        _show_boot(boot, full)


def _show_boot(boot: Boot, full: bool) -> None:
    took = f", {boot.end - boot.start:.1f} s" if boot.end is not None else ""
    click.echo(
        f"boot {boot.id}, {datetime.fromtimestamp(boot.start):%Y-%m-%d %H:%M:%S}: {boot.outcome}{took}"
    )
    for stage in boot.stages:
        length = f"{stage.end - stage.start:8.1f} s" if stage.end is not None else "   (now)  "
        click.echo(f"  {stage.start - boot.start:8.1f} s  {stage.name.ljust(16)}{length}")
    if full:
        from bootsrv.timeline import words

        for event in boot.events:
            click.echo(f"  {event.at - boot.start:8.2f} s  {event.kind.ljust(16)}  {harmless(words(event))}")


@click.command()
@click.argument("node", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on as more happens.")
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="How many of those that were.",
)
@as_json
@pass_context
def events(context: Context, node: str | None, follow: bool, lines: int, json_: bool) -> None:
    """What happened (to NODE), and with --follow what happens now. JSON is one object a line with
    --follow."""
    from bootsrv.records import event_record

    verbs = context.appliance
    chosen = verbs.nodes.show(node) if node else None
    names = {one.id: one.name or one.macs[0] for one in [*verbs.nodes.list(), *verbs.nodes.unknown()]}
    last = verbs.watch.last_event()
    found = verbs.watch.latest(lines, chosen)
    if json_ and not follow:
        show_json([event_record(event, names.get(event.node or 0)) for event in found])
        return
    for event in found:
        _show_event(event, names, json_)
    if follow:
        for batch in verbs.watch.follow(last, time.sleep):
            for event in batch:
                if chosen is None or event.node == chosen.id:
                    _show_event(event, names, json_)


def _show_event(event: Event, names: dict[int, str], json_: bool) -> None:
    if json_:
        import json

        from bootsrv.records import event_record

        click.echo(json.dumps(event_record(event, names.get(event.node or 0)), ensure_ascii=False))
        return
    from bootsrv.timeline import words

    who = names.get(event.node or 0) or event.mac or "-"
    text = harmless(words(event))
    click.echo(
        f"{datetime.fromtimestamp(event.at):%H:%M:%S}  {who.ljust(17)}  {event.kind.ljust(16)}  {text}"
    )


@click.command()
@click.argument("node")
@click.option("--follow", "-f", is_flag=True, help="Go on as more comes.")
@pass_context
def log(context: Context, node: str, follow: bool) -> None:
    """What the imager said on NODE's console."""
    verbs = context.appliance
    chosen = verbs.nodes.show(node)
    last = 0
    while True:
        for number, text in verbs.watch.log(chosen, since=last):
            click.echo(text, nl=not text.endswith("\n"))
            last = number
        if not follow:
            if not last:
                click.echo(f"{node} has not said anything from the imager yet", err=True)
            return
        time.sleep(0.3)
