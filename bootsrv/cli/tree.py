"""`bootsrv tree`: install trees, what the distributions' own installers boot and read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootsrv.cli.context import Context, as_json, pass_context, said, show_fields, show_json, show_table
from bootsrv.cli.paths import Existing
from bootsrv.cli.progress import progress_of
from bootsrv.errors import BootsrvError

if TYPE_CHECKING:
    from bootsrv.trees.record import TreeRecord


@click.group()
def tree() -> None:
    """Install trees: kernel, installer and packages of a distribution, served below /tree/NAME/."""


@tree.command(name="import")
@click.argument("source")
@click.option("--name", required=True, help="What it is called here, such as debian-12.")
@click.option("--replace", is_flag=True, help="Take the place of a tree of that name.")
@as_json
@pass_context
def import_(context: Context, source: str, name: str, replace: bool, json_: bool) -> None:
    """Bring SOURCE in: an ISO of any distribution, a directory, or debian-12, debian-13.

    debian-12 is the netboot installer that Debian packages, fetched and verified by apt.
    """
    from bootsrv.records import tree_record
    from images.sizes import human

    with progress_of(f"importing {name}") as told:
        made = context.appliance.trees.import_(source, name, replace, told)
    if json_:
        show_json(tree_record(made))
        return
    facts = made.facts
    click.echo(f"{name}: {facts.title}, {facts.arch}, {made.files} files, {human(made.bytes)}")
    if made.checked:
        click.echo(f"{made.checked} of them were compared with the checksums on the medium")
    for note in made.notes:
        click.echo(f"note: {note}", err=True)


@tree.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """Every tree."""
    from bootsrv.records import tree_record
    from images.sizes import human

    found, wrong = context.appliance.trees.readable()
    if json_:
        show_json([tree_record(one) for one in found])
    else:
        rows = [
            (
                one.name,
                one.facts.title,
                one.facts.arch,
                one.facts.installer,
                one.facts.target,
                human(one.bytes),
            )
            for one in found
        ]
        headings = ("NAME", "SYSTEM", "ARCH", "ANSWERS", "TARGET", "SIZE")
        show_table(headings, rows, "there is no tree yet: bootsrv tree import debian-12 --name debian-12")
    if wrong:
        raise BootsrvError("; ".join(wrong))


@tree.command()
@click.argument("name")
@as_json
@pass_context
def show(context: Context, name: str, json_: bool) -> None:
    """One tree."""
    from datetime import datetime

    from bootsrv.records import tree_record
    from images.sizes import human

    record = tree_record(context.appliance.trees.show(name))
    if json_:
        show_json(record)
        return
    record["imported"] = f"{datetime.fromtimestamp(record['imported']):%Y-%m-%d %H:%M:%S}"
    record["bytes"] = f"{record['bytes']} ({human(record['bytes'])})"
    show_fields(record)


@tree.command()
@click.argument("name")
@as_json
@pass_context
def verify(context: Context, name: str, json_: bool) -> None:
    """Read every file of a tree and compare it with the hash of its import. Exit code 1 when one differs."""
    with progress_of(f"verifying {name}") as told:
        found = list(context.appliance.trees.verify(name, told))
    if json_:
        show_json([{"name": one.name, "text": one.text} for one in found])
    else:
        for one in found:
            click.echo(f"{one.name} {one.text}")
        click.echo("import it again with --replace" if found else "everything is as it was imported")
    sys.exit(1 if found else 0)


@tree.command()
@click.argument("name")
@click.argument("packages", nargs=-1, type=Existing(exists=True, path_type=Path))
@click.option("--replace", is_flag=True, help="Only these; what was there goes.")
@click.option("--clear", is_flag=True, help="Take all of them away.")
@as_json
@pass_context
def updates(
    context: Context, name: str, packages: tuple[Path, ...], replace: bool, clear: bool, json_: bool
) -> None:
    """Put updated PACKAGES (files or directories of .deb and .rpm) beside a tree, or list them.

    They become a signed repository at /tree/NAME/updates/, for apt or dnf.
    """
    verbs = context.appliance.trees
    if clear:
        verbs.clear_updates(name)
        click.echo(f"{name} has no updated packages any more", err=True)
        return
    if packages:
        with progress_of(f"updates of {name}") as told:
            verbs.update(name, packages, replace, told)
    have = verbs.updates(name)
    if json_:
        show_json({"debs": list(have.debs), "rpms": list(have.rpms), "bytes": have.bytes} if have else None)
    elif have is None:
        click.echo(f"{name} has no updated packages", err=True)
    else:
        click.echo("\n".join([*have.debs, *have.rpms]))
        if packages:
            click.echo(f"in a profile:\n{_entry(verbs.show(name))}", err=True)


def _entry(record: TreeRecord) -> str:
    """The lines for a profile."""
    from pxe.trees.repositories import updates_entry

    entry = updates_entry(record.facts.installer, f"{{{{ server.url }}}}{record.place}updates/")
    lines = ["[[repositories]]", f'name = "{entry.name}"', f'url = "{entry.url}"']
    return "\n".join([*lines, *([f'key = "{entry.key}"'] if entry.key else [])])


@tree.command()
@click.argument("name")
@as_json
@pass_context
def remove(context: Context, name: str, json_: bool) -> None:
    """Take a tree away, with its updated packages."""
    gone = context.appliance.trees.remove(name).name
    said({"removed": gone}, f"{gone} removed", json_)
