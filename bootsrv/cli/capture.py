"""`bootsrv image capture`: make a machine the next version of an image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json
from bootsrv.cli.interrupted import interruption
from bootsrv.cli.progress import progress_of

if TYPE_CHECKING:
    from images.versions import Version

LISTS = {  # of ours to the agent's options
    "excludes": "--exclude", "includes": "--include", "untouched": "--exclude-update", "wanted": "--with",
    "unwanted": "--without",
}  # fmt: skip


@click.command()
@click.argument("node", required=False)
@click.option("--name", required=True, help="The image's name.")
@click.option("--comment", default="", help="A line for the list.")
@click.option("--token", "token_", is_flag=True, help="Only make a token; say what to type on the machine.")
@click.option("--hours", default=24.0, show_default=True, help="How long the token can be used, once.")
@click.option("--server", metavar="ADDRESS", help="Our address as the machine reaches it.")
@click.option("--offline", is_flag=True, help="By the imager, at the node's next boot.")
@click.option("--disk", is_flag=True, help="With --offline: the whole disk, whatever is on it.")
@click.option("--wait", is_flag=True, help="With --offline: follow it to its end.")
@click.option("--exclude", "excludes", multiple=True, metavar="PATTERN", help="Leave out as well.")
@click.option("--include", "includes", multiple=True, metavar="PATTERN", help="Take off that list.")
@click.option(
    "--exclude-update", "untouched", multiple=True, metavar="PATTERN",
    help="What pushes to machines with this image are not to touch; stays with the image.",
)  # fmt: skip
@click.option("--with", "wanted", multiple=True, metavar="PATH", help="Another file system to take along.")
@click.option("--without", "unwanted", multiple=True, metavar="PATH", help="A file system to leave out.")
@click.option("--allow-unreadable", is_flag=True, help="Publish without what cannot be read.")
@as_json
@pass_context
def capture(
    context: Context, /, node: str | None, name: str, comment: str, token_: bool, hours: float,
    server: str | None, offline: bool, disk: bool, wait: bool, allow_unreadable: bool, json_: bool,
    **lists: tuple[str, ...],
) -> None:  # fmt: skip
    """Make a machine the next version of the image NAME.

    NODE runs: it is logged in to. With --offline the imager does it at the node's next boot. Without NODE a
    token is made, for one capture of any machine, and what to type there is printed.
    """
    if disk and not offline:
        raise click.UsageError("a whole disk can only be captured with --offline: nothing may write to it")
    _check(lists)
    words = [f"{option}={each}" for key, option in LISTS.items() for each in lists[key]]
    words += ["--allow-unreadable"] if allow_unreadable else []
    if node is None or token_:
        if offline:
            raise click.UsageError("--offline needs a NODE")
        _token(context, node, name, comment, hours, server, words, json_)
    elif offline:
        _offline(context, node, name, "disk" if disk else "tree", comment, words, wait, json_)
    else:
        verbs = context.appliance
        at_its_end = f"unless it was at its end: `bootsrv image list {name}`"
        ended = interruption(f"nothing was published, {at_its_end}")
        with ended, progress_of(f"capturing {node}") as told:
            ref = verbs.captures.live(
                verbs.nodes.show(node), name, comment, words, lambda said: _hear(said, told)
            )
        show_made(context.appliance.images.resolve(ref), json_)


def _check(lists: Mapping[str, Sequence[str]]) -> None:
    """Raises UsageError for one that matches nothing, before a machine hears of it."""
    from images.errors import BadInput
    from images.patterns import check_patterns

    try:
        check_patterns(lists["excludes"], files=True)
        check_patterns(lists["untouched"])
    except BadInput as error:
        raise click.UsageError(str(error)) from error


def _hear(said: Mapping[str, Any], told: Any) -> None:
    if "say" in said:
        click.echo(str(said["say"]), err=True)
    elif "done" in said:
        told(int(said["done"]), int(said.get("total") or 0) or None, f"{said.get('files', 0)} files")


def _token(
    context: Context, /, node: str | None, name: str, comment: str, hours: float, server: str | None,
    words: list[str], json_: bool,
) -> None:  # fmt: skip
    from bootsrv.listening import machines_url, page_url

    verbs = context.appliance
    port = context.config.http.port
    base = f"http://{server}:{port}" if server else page_url(context.config).rstrip("/")
    base, pin = machines_url(context.config, base)
    of = verbs.nodes.show(node) if node is not None else None
    made = verbs.captures.token(name, comment, hours, of)
    line = made.line(base, words, pin)
    if json_:
        show_json({"token": made.text, "name": name, "expires": made.expires, "command": line})
        return
    click.echo(line)
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(made.expires))
    click.echo(f"to be typed once, before {until}", err=True)


def _offline(
    context: Context, node: str, name: str, kind: str, comment: str, words: list[str], wait: bool, json_: bool
) -> None:
    from bootsrv.errors import BootsrvError

    verbs = context.appliance
    since = verbs.watch.last_event()
    (armed,) = verbs.captures.offline([verbs.nodes.show(node)], name, kind, comment, words)
    click.echo(f"{armed.name}: its {kind} is captured as {name} at its next boot", err=True)
    if not wait:
        return
    ended = interruption(f"the capture goes on without being watched: `bootsrv events {armed.name}`")
    with ended, progress_of(f"capturing {node}") as told:
        for batch in verbs.watch.follow(since, time.sleep):
            for event in batch:
                if event.node != armed.id:
                    continue
                if event.kind == "capture.progress":
                    told(int(event.data.get("done") or 0), int(event.data.get("total") or 0) or None, "")
                elif event.kind in ("deploy.failed", "node.disarmed", "node.removed"):
                    raise BootsrvError(f"{armed.name}: {event.text}")
                elif event.kind == "capture.done":
                    show_made(context.appliance.images.resolve(str(event.data["ref"])), json_)
                    return


def show_made(made: Version, json_: bool) -> None:
    """What a version that was just made is called, and holds."""
    from bootsrv.records import version_record
    from images.sizes import human

    if json_:
        show_json(version_record(made))
        return
    new = "" if made.added is None else f" ({human(made.added) if made.added else 'nothing'} new)"
    room = f"{human(made.bytes)}{new}, {human(made.stored_bytes)} in the store"
    click.echo(f"{made.ref}: {made.files} files, {room}")
    for warning in made.meta.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
