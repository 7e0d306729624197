"""`bootsrv reimage`: arm exactly one imaging and follow it, or give nodes a root over the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, as_json, on_terminal, pass_context, show_json
from bootsrv.cli.roots import root_of, root_options

if TYPE_CHECKING:
    from bootsrv.model import Node


@click.command()
@click.argument("nodes")
@click.option(
    "--image", help="NAME, NAME@NUMBER or NAME@TAG; becomes the nodes' image. Default: the one they have."
)
@click.option("--wipe", is_flag=True, help="Discard the whole disk first, not only what the layout covers.")
@click.option("--cancel", is_flag=True, help="Take it back, while the disk has not been touched.")
@click.option("--retry", is_flag=True, help="Let nodes that failed try the same again.")
@click.option("--diskless", is_flag=True, help="No imaging: the image is their root from the next boot on.")
@click.option("--local", is_flag=True, help="Diskless nodes boot their own disks again; no imaging.")
@root_options
@click.option("--wait", is_flag=True, help="Follow it until every node runs what was asked for.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --wait: give up after this long.")
@as_json
@pass_context
def reimage(
    context: Context,
    /,
    nodes: str,
    image: str | None,
    wipe: bool,
    cancel: bool,
    retry: bool,
    diskless: bool,
    local: bool,
    wait: bool,
    timeout: float | None,
    json_: bool,
    **given: Any,
) -> None:
    """Put an image on NODES at their next network boot; machines that wait in the imager start at once.

    With --diskless it is not put on their disks: it is their root from the next boot on.
    """
    ways = {
        "--cancel": cancel,
        "--retry": retry,
        "--local": local,
        "--image/--wipe": image is not None or wipe,
    }
    chosen_ways = [way for way, said in ways.items() if said]
    if len(chosen_ways) > 1 or (cancel and wait):
        raise click.UsageError(f"{' and '.join(chosen_ways) or '--cancel and --wait'} exclude each other")
    if diskless and (cancel or retry or local or wipe):
        raise click.UsageError("--diskless excludes --cancel, --retry, --local and --wipe")
    if any(given.values()) and not diskless:
        raise click.UsageError("--root, --writes, --path and --write-limit need --diskless")
    verbs = context.appliance
    since = verbs.watch.last_event()
    chosen = verbs.nodes.select(nodes)
    if diskless or local:
        done = _roots(context, chosen, image, diskless, given, json_)
        if wait:
            from bootsrv.cli.following import follow

            follow(verbs, done, since, timeout, bars=on_terminal() and not json_, booted=True)
        return
    if cancel:
        done = verbs.deploys.cancel(chosen)
    elif retry:
        done = verbs.deploys.retry(chosen)
    else:
        done = verbs.deploys.reimage(chosen, image, wipe)
    if json_:
        _as_records(done)
    else:
        for node in done:
            armed = f"armed for {node.armed.what}" if node.armed else "no longer armed"
            click.echo(f"{node.name} {armed}", err=wait)
    if wait:
        from bootsrv.cli.following import follow

        follow(verbs, done, since, timeout, bars=on_terminal() and not json_)


def _as_records(nodes: Sequence[Node]) -> None:
    from bootsrv.records import node_record

    show_json([node_record(node) for node in nodes])


def _roots(
    context: Context, nodes: Sequence[Node], image: str | None, diskless: bool, given: dict[str, Any],
    json_: bool,
) -> Sequence[Node]:  # fmt: skip
    from bootsrv.appliance.roots import Wanted

    roots = context.appliance.roots
    done = roots.move(nodes, image, Wanted(**root_of(given))) if diskless else roots.leave(nodes)
    if json_:
        _as_records(done)
        return done
    for node in done:
        what = f"{node.image} by {node.root.kind}, writes {node.root.writes}" if diskless else "its own disk"
        click.echo(f"{node.name} at its next boot: {what}")
    return done
