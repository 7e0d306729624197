"""`bootsrv install`: have NODES set up by their distribution's own installer, once."""

from __future__ import annotations

import click

from bootsrv.cli.context import Context, as_json, on_terminal, pass_context, show_json


@click.command()
@click.argument("nodes")
@click.option("--profile", help="Which answers. Default: the profile that each node has.")
@click.option("--tree", help="Which installer. Default: the only tree of the profile's system.")
@click.option("--cancel", is_flag=True, help="Take it back, while the disk has not been touched.")
@click.option("--retry", is_flag=True, help="Let nodes that failed try the same again.")
@click.option("--wait", is_flag=True, help="Follow it until every node runs from its own disk.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --wait: give up after this long.")
@as_json
@pass_context
def install(
    context: Context,
    nodes: str,
    profile: str | None,
    tree: str | None,
    cancel: bool,
    retry: bool,
    wait: bool,
    timeout: float | None,
    json_: bool,
) -> None:
    """Install NODES afresh at their next network boot, by their distribution's own installer.

    Refused when the answers of a node cannot be written, or are not what its installer understands.
    """
    if sum((cancel, retry, profile is not None or tree is not None)) > 1 or (cancel and wait):
        raise click.UsageError("--cancel, --retry and --profile/--tree exclude each other")
    verbs = context.appliance
    since = verbs.watch.last_event()
    chosen = verbs.nodes.select(nodes)
    if cancel:
        done = verbs.deploys.cancel(chosen)
    elif retry:
        done = verbs.deploys.retry(chosen)
    else:
        done = verbs.installs.install(chosen, profile, tree)
    if json_:
        from bootsrv.records import node_record

        show_json([node_record(node) for node in done])
    else:
        for node in done:
            armed = f"armed: {node.armed.what}" if node.armed else "no longer armed"
            click.echo(f"{node.name} {armed}", err=wait)
    if wait:
        from bootsrv.cli.following import follow

        follow(verbs, done, since, timeout, bars=on_terminal() and not json_)
