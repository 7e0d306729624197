"""`bootsrv mirror`: package archives that installers fetch from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, as_json, pass_context, said, show_fields, show_json, show_table
from bootsrv.cli.progress import progress_of

if TYPE_CHECKING:
    from bootsrv.appliance.mirrors import Archive


@click.group()
def mirror() -> None:
    """Package archives at /mirror/NAME/: cached ones ([mirrors.NAME] of the configuration), and our own."""


@mirror.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """Every archive."""
    from images.sizes import human

    found = context.appliance.mirrors.listing()
    if json_:
        show_json([_record(one) for one in found])
        return
    rows = [
        (
            one.name,
            "filled" if one.filled else "cached",
            one.filled.suite if one.filled else "",
            human(one.filled.bytes) if one.filled else "",
            ", ".join(one.upstreams),
        )
        for one in found
    ]
    headings = ("NAME", "KIND", "SUITE", "SIZE", "FROM")
    show_table(headings, rows, "there is no archive: set [mirrors.NAME] upstream, or see bootsrv mirror fill")


@mirror.command()
@click.argument("name")
@as_json
@pass_context
def show(context: Context, name: str, json_: bool) -> None:
    """One archive."""
    record = _record(context.appliance.mirrors.show(name))
    if json_:
        show_json(record)
    else:
        show_fields(record)


@mirror.command()
@click.argument("name")
@click.argument("packages", nargs=-1)
@click.option("--suite", required=True, help="bookworm, trixie, ...")
@click.option("--tree", default="", help="A tree of Debian's netboot installer, whose own packages come too.")
@as_json
@pass_context
def fill(context: Context, name: str, packages: tuple[str, ...], suite: str, tree: str, json_: bool) -> None:
    """Make an archive of Debian PACKAGES and all that they need, for networks without a way out.

    The base system is always in it, and with --tree what its installer needs. Again: with newer versions.
    """
    from images.sizes import human

    with progress_of(f"filling {name}") as told:
        made = context.appliance.mirrors.fill(name, suite, packages, tree, told)
    if json_:
        show_json(_record(context.appliance.mirrors.show(name)))
        return
    click.echo(f"{name}: {made.suite}, {made.files} files, {human(made.bytes)}, at /mirror/{name}/")
    if made.missing:
        some = ", ".join(made.missing[:5])
        more = f" and {len(made.missing) - 5} more" if len(made.missing) > 5 else ""
        click.echo(f"note: of the installer's packages, the mirror did not have {some}{more}", err=True)


@mirror.command()
@click.argument("name")
@as_json
@pass_context
def remove(context: Context, name: str, json_: bool) -> None:
    """Take an archive of our own away."""
    gone = context.appliance.mirrors.remove(name).name
    said({"removed": gone}, f"{gone} removed", json_)


def _record(one: Archive) -> dict[str, Any]:
    from bootsrv.records import mirror_record

    return mirror_record(one)
