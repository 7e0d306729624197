"""`bootsrv image capture`: make a machine the next version of an image."""

from __future__ import annotations

import time

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json


@click.command()
@click.argument("node", required=False)
@click.option("--name", required=True, help="The image's name.")
@click.option("--comment", default="", help="A line for the list.")
@click.option("--token", "token_", is_flag=True, help="Only make a token; say what to type on the machine.")
@click.option("--hours", default=24.0, show_default=True, help="How long the token can be used, once.")
@click.option("--server", metavar="ADDRESS", help="Our address as the machine reaches it.")
@as_json
@pass_context
def capture(
    context: Context, node: str | None, name: str, comment: str, token_: bool, hours: float,
    server: str | None, json_: bool,
) -> None:  # fmt: skip
    """Make a running machine the next version of the image NAME.

    Without NODE a token is made, for one capture of any machine: what to type there is printed.
    """
    from bootsrv.listening import page_url

    verbs = context.appliance
    port = context.config.http.port
    base = f"http://{server}:{port}" if server else page_url(context.config).rstrip("/")
    if node is None or token_:
        of = verbs.nodes.show(node) if node is not None else None
        made = verbs.captures.token(name, comment, hours, of)
        line = made.line(base)
        if json_:
            show_json({"token": made.text, "name": name, "expires": made.expires, "command": line})
            return
        click.echo(line)
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(made.expires))
        click.echo(f"to be typed once, before {until}", err=True)
        return
    raise click.UsageError("give --token")
