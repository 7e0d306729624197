"""`bootsrv reimage`: arm exactly one imaging, and follow it if asked to."""

from __future__ import annotations

import click

from bootsrv.cli.context import Context, on_terminal, pass_context


@click.command()
@click.argument("nodes")
@click.option(
    "--image", help="NAME, NAME@NUMBER or NAME@TAG; becomes the nodes' image. Default: the one they have."
)
@click.option("--wipe", is_flag=True, help="Discard the whole disk first, not only what the layout covers.")
@click.option("--cancel", is_flag=True, help="Take it back, while the disk has not been touched.")
@click.option("--retry", is_flag=True, help="Let nodes that failed try the same again.")
@click.option("--wait", is_flag=True, help="Follow it until every node runs from its own disk.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --wait: give up after this long.")
@pass_context
def reimage(
    context: Context,
    nodes: str,
    image: str | None,
    wipe: bool,
    cancel: bool,
    retry: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Put an image on NODES at their next network boot; machines that wait in the imager start at once."""
    if sum((cancel, retry, image is not None or wipe)) > 1 or (cancel and wait):
        raise click.UsageError("--cancel, --retry and --image/--wipe exclude each other")
    verbs = context.appliance
    since = verbs.watch.last_event()
    chosen = verbs.nodes.select(nodes)
    if cancel:
        done = verbs.deploys.cancel(chosen)
    elif retry:
        done = verbs.deploys.retry(chosen)
    else:
        done = verbs.deploys.reimage(chosen, image, wipe)
    for node in done:
        click.echo(
            f"{node.name} {'armed for ' + node.armed.image if node.armed else 'no longer armed'}", err=wait
        )
    if wait:
        from bootsrv.cli.following import follow

        follow(verbs, done, since, timeout, bars=on_terminal())
