"""`bootsrv image`: bring images into the store and look after them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootsrv.cli import image_work
from bootsrv.cli.capture import capture, show_made
from bootsrv.cli.context import (
    Context,
    as_json,
    dated,
    harmless,
    pass_context,
    said,
    show_fields,
    show_json,
    show_table,
)  # fmt: skip
from bootsrv.cli.interrupted import interruption
from bootsrv.cli.paths import Existing
from bootsrv.cli.problems import problem_lines
from bootsrv.cli.progress import progress_of
from bootsrv.errors import BootsrvError

if TYPE_CHECKING:
    from bootsrv.appliance.images import Images
    from images.versions import Version


@click.group()
def image() -> None:
    """Bring images into the store and look after them."""


for command in (
    capture, image_work.diff, image_work.edit, image_work.agent, image_work.export, image_work.prune,
):  # fmt: skip
    image.add_command(command)


@image.command(name="import")
@click.argument("name")
@click.argument("source", required=False, type=Existing(exists=True, path_type=Path))
@click.option("--recipe", help="Build it from packages: a recipe's name (see `image recipes`) or a file.")
@click.option("--comment", default="", help="A line for the list.")
@click.option("--exclude", "excludes", multiple=True, metavar="PATTERN", help="Leave out (directories only).")
@click.option("--all", "everything", is_flag=True, help="Leave out nothing by default (directories only).")
@click.option(
    "--exclude-update", "untouched", multiple=True, metavar="PATTERN",
    help="What pushes to machines with this image are not to touch; stays with the image.",
)  # fmt: skip
@click.option("--disk", is_flag=True, help="SOURCE is a disk of any system, even if it looks like no disk.")
@as_json
@pass_context
def import_(
    context: Context,
    name: str,
    source: Path | None,
    recipe: str | None,
    comment: str,
    excludes: tuple[str, ...],
    untouched: tuple[str, ...],
    disk: bool,
    everything: bool,
    json_: bool,
) -> None:
    """Make SOURCE or a recipe the next version of NAME.

    SOURCE is a directory, a tar, a container image, a squashfs, an ISO, or a disk: a block device, raw,
    qcow2, vmdk, vhdx, vdi.

    Of a directory, what is in /proc, /sys, /dev, /run, /tmp and /var/tmp is left out, and /lost+found;
    --all keeps it. All else is taken whole.
    """
    if (source is None) == (recipe is None):
        both = ", not both" if recipe is not None else ""
        raise click.UsageError(f"give a SOURCE or a --recipe{both}")
    if recipe is not None and excludes:
        raise click.UsageError("--exclude is for directories: what a recipe installs is said in the recipe")
    verbs = context.appliance.images
    with interruption("nothing was published"), progress_of(f"importing {name}") as told:
        if recipe is not None:
            made = verbs.import_recipe(name, recipe, comment, told, untouched)
        else:
            assert source is not None
            made = verbs.import_source(name, source, comment, excludes, told, disk, untouched, everything)
    show_made(made, json_)


@image.command()
@as_json
@pass_context
def recipes(context: Context, json_: bool) -> None:
    """The recipes that come with the program."""
    found = context.appliance.images.recipes()
    if json_:
        show_json([recipe.name for recipe in found])
        return
    show_table(("NAME", "WHAT IT IS"), [(recipe.name, recipe.description) for recipe in found], "none")


@image.command(name="list")
@click.argument("name", required=False)
@as_json
@pass_context
def list_(context: Context, name: str | None, json_: bool) -> None:
    """Every version of every image, or of one."""
    verbs = context.appliance.images
    found, wrong = (verbs.list(name), []) if name is not None else verbs.readable()
    _show_versions(found, json_)
    if wrong:
        raise BootsrvError("; ".join(wrong))


def _show_versions(found: Sequence[Version], json_: bool) -> None:
    from datetime import datetime

    from bootsrv.records import version_record
    from images.sizes import human

    if json_:
        show_json([version_record(version) for version in found])
        return
    rows = [
        (
            version.ref,
            f"{datetime.fromtimestamp(version.created):%Y-%m-%d %H:%M}",
            human(version.bytes),
            version.files if version.kind == "tree" else version.kind,
            ",".join(version.tags),
            version.comment,
        )
        for version in found
    ]
    headings = ("VERSION", "CREATED", "SIZE", "FILES", "TAGS", "COMMENT")
    show_table(headings, rows, "there is no image yet: bootsrv image import NAME --recipe debian-12")


@image.command()
@click.argument("ref")
@as_json
@pass_context
def show(context: Context, ref: str, json_: bool) -> None:
    """One version: REF is NAME, NAME@NUMBER or NAME@TAG."""
    from datetime import datetime

    from bootsrv.records import version_record
    from images.sizes import human

    images = context.appliance.images
    version = images.resolve(ref)
    record = version_record(version)
    if json_:
        show_json(record)
        return
    meta = record.pop("meta")
    record["parent"] = _parent(images, version)
    record["created"] = f"{datetime.fromtimestamp(record['created']):%Y-%m-%d %H:%M:%S}"
    for key in ("bytes", "stored_bytes"):
        record[key] = f"{record[key]} ({human(record[key])})"
    show_fields({**record, **{name: dated(value) for name, value in meta.items()}})


def _parent(images: Images, version: Version) -> str | None:
    """Its version, where it is still there: an id says nothing to a person."""
    if version.parent is None:
        return None
    found = [one.ref for one in images.readable()[0] if one.id == version.parent]
    return found[0] if found else f"{version.parent[:12]}, removed since"


@image.command()
@click.argument("ref")
@click.argument("tag")
@click.option("--remove", is_flag=True, help="Take the tag away instead; REF is the image's name.")
@as_json
@pass_context
def tag(context: Context, ref: str, tag: str, remove: bool, json_: bool) -> None:
    """Point TAG at the version REF, so that NAME@TAG means it."""
    from bootsrv.records import version_record

    if remove:
        context.appliance.images.untag(ref, tag)
        said({"removed": f"{ref}@{tag}"}, f"{ref}@{tag} removed", json_)
        return
    made = context.appliance.images.tag(ref, tag)
    said(version_record(made), f"{made.name}@{tag} is {made.ref}", json_)


@image.command()
@click.argument("ref")
@as_json
@pass_context
def remove(context: Context, ref: str, json_: bool) -> None:
    """Remove one version. The room comes back with `image gc`."""
    gone = context.appliance.images.remove(ref).ref
    said({"removed": gone}, f"{gone} removed", json_)


@image.command()
@as_json
@pass_context
def gc(context: Context, json_: bool) -> None:
    """Give back the room of what no version uses."""
    from images.sizes import human

    with progress_of("collecting") as told:
        done = context.appliance.images.gc(told)
    if json_:
        show_json(done._asdict())
        return
    click.echo(f"{human(done.freed)} freed: {done.deleted} packs deleted, {done.rewritten} rewritten")
    if done.waiting:
        click.echo(f"{human(done.waiting)} more in an hour: a machine may still be fetching that", err=True)
    if done.left:
        click.echo(f"no room to rewrite {done.left} more: run it again when there is some", err=True)


@image.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--all", "all_", is_flag=True, help="Every file that has lost chunks.")
@as_json
@pass_context
def verify(context: Context, repair: bool, all_: bool, json_: bool) -> None:
    """Check every byte of the store. Exit code 1 when something is wrong; with --repair, when something
    still is."""
    with progress_of("verifying") as told:
        found = list(context.appliance.images.verify(told, repair))
    left = found
    if repair and found:
        with progress_of("looking once more") as told:
            left = list(context.appliance.images.verify(told))
        known, still = ({problem[:2] for problem in some} for some in (found, left))
        found += [problem for problem in left if problem[:2] not in known]
        left += [problem for problem in found if not problem.mended and problem[:2] not in still]
    if json_:
        show_json([problem._asdict() for problem in found])
    else:
        for line in problem_lines(found, all_):
            click.echo(harmless(line))
        if not found:
            click.echo("everything is as it was stored")
        elif repair:
            mended = f"{len(found)} found, {sum(problem.mended for problem in found)} mended"
            rest = f"{len(left)} {'problem is' if len(left) == 1 else 'problems are'} left"
            then = "do what is said above, then run `bootsrv image verify`"
            click.echo(f"{mended}; {rest}: {then}" if left else "all of it is mended")
    sys.exit(1 if left else 0)
