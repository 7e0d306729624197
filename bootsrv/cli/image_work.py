"""`bootsrv image diff, edit, agent, export, prune`: what is done with versions that are there."""

from __future__ import annotations

from pathlib import Path

import click

from bootsrv.cli.context import Context, as_json, harmless, pass_context, show_json
from bootsrv.cli.environment import at
from bootsrv.cli.interrupted import interruption
from bootsrv.cli.progress import progress_of

_MOST = 40  # lines of each part, unless --all


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--all", "all_", is_flag=True, help="Every file, also those where only the time differs.")
@as_json
@pass_context
def diff(context: Context, old: str, new: str, all_: bool, json_: bool) -> None:
    """What changed from version OLD to NEW: packages, services, kernel, files."""
    from images.changes.entries import TIME
    from images.sizes import human

    found = context.appliance.images.diff(old, new)
    if json_:
        show_json(found.record())
        return
    counts = found.counts()
    click.echo(f"{found.old.ref} -> {found.new.ref}: {human(found.bytes_new)} of new content")
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if kind != TIME)
    click.echo(f"files     {told}; {counts[TIME]} differ in their time alone")
    if found.kernels != ((), ()):
        names = f"{', '.join(found.kernels[0]) or 'none'} -> {', '.join(found.kernels[1]) or 'none'}"
        click.echo(f"kernel    {names if found.kernel_changed else 'the same'}")
    packages = [
        f"package   {name} {before or '(new)'} -> {after or '(removed)'}"
        for name, (before, after) in found.packages.items()
    ]
    services = [f"service   {name} {what}" for name, what in found.services.items()]
    files = [
        f"{one.kind:8}  {one.name}" + (f" ({', '.join(one.aspects)})" if one.aspects else "")
        for one in found.files
        if all_ or one.aspects != (TIME,)
    ]
    for lines in (packages, services, files):
        for line in lines if all_ else lines[:_MOST]:
            click.echo(harmless(line))
        if not all_ and len(lines) > _MOST:
            click.echo(f"... and {len(lines) - _MOST} more lines like these: --all")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("ref")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--comment", default="", help="A line for the list.")
@as_json
@pass_context
def edit(context: Context, ref: str, command: tuple[str, ...], comment: str, json_: bool) -> None:
    """Change an image: run COMMAND (a shell when there is none) in a private copy of REF.

    What becomes of it is the next version. When COMMAND fails nothing is published. Say with --comment what
    was done: of COMMAND only the program's name is kept, since its arguments may hold a password.

        bootsrv image edit debian -- sh -c 'apt-get update && apt-get -y dist-upgrade'
    """
    from bootsrv.records import version_record

    with interruption("nothing was published"), progress_of(f"editing {ref}") as told:
        made = context.appliance.images.edit(ref, command, comment, told)
    if json_:
        show_json(version_record(made) if made else None)
    elif made is None:
        click.echo("nothing changed; there is no new version")
    else:
        click.echo(f"{made.ref}: {made.comment}")


@click.command()
@click.argument("ref")
@click.option("--comment", default="", help="A line for the list.")
@as_json
@pass_context
def agent(context: Context, ref: str, comment: str, json_: bool) -> None:
    """Put the agent service into an image: machines with it take pushes by HTTPS, without an SSH server.

    What becomes of REF is the next version. Needs [http] tls_port. Nodes that run already get it with their
    next push.
    """
    from bootsrv.records import version_record

    with progress_of(f"preparing {ref}") as told:
        made = context.appliance.images.put_agent(ref, comment, told)
    if json_:
        show_json(version_record(made) if made else None)
    elif made is None:
        click.echo(f"{ref} has this agent already; there is no new version")
    else:
        click.echo(f"{made.ref}: {made.comment}")
    if context.config.http.tls_port is None:
        click.echo("orders go by HTTPS alone: set [http] tls_port, and restart the service", err=True)


@click.command()
@click.argument("ref")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--format", "form",
    help="directory, tar, oci (a directory, see above), squashfs, raw, qcow2; else by TARGET's ending.",
)  # fmt: skip
@click.option("--layout", help="Files as raw or qcow2: the disk layout by name; else the image's.")
@click.option("--size", help="Files as raw or qcow2: how large the disk is, such as 8G.")
@as_json
@pass_context
def export(
    context: Context, ref: str, target: Path, form: str | None, layout: str | None, size: str | None,
    json_: bool,
) -> None:  # fmt: skip
    """Write a version to TARGET: a directory, tar (.tar.gz, .tar.zst, .tar.xz), container image, squashfs, or
    the disk of a virtual machine as raw or qcow2: a disk image as it was, files as a disk that boots them by
    BIOS and UEFI.

    A container image (`.oci`, or `--format oci` with any name) is a directory with an OCI image layout; tools
    read it as oci:TARGET."""
    from images.sizes import human

    with interruption(f"{target} is as it was before"), progress_of(f"exporting {ref}") as told:
        try:
            chosen, written = context.appliance.images.export(ref, target, form, told, layout, size)
        except OSError as error:
            raise at(error, target, context.config.data_dir) from error
    if json_:
        show_json({"target": str(target), "format": chosen, **written._asdict()})
        return
    what = f"{written.files} files" if written.files != 1 else "1 file"
    click.echo(f"{target}: {chosen}, {what}, {human(written.bytes)}")
    for loss in written.losses:
        click.echo(f"warning: {loss}", err=True)


@click.command()
@click.argument("name", required=False)
@click.option("--keep", type=int, required=True, help="How many of the newest versions of each image stay.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
@pass_context
def prune(context: Context, name: str | None, keep: int, dry_run: bool, json_: bool) -> None:
    """Remove old versions. Those with a tag, and those that nodes use, stay.

    `image gc` gives the room back.
    """
    from bootsrv.records import version_record

    gone = context.appliance.images.prune(name, keep, dry_run)
    if json_:
        show_json([version_record(version) for version in gone])
        return
    for version in gone:
        click.echo(f"{version.ref} {'would be removed' if dry_run else 'removed'}")
    if not gone:
        click.echo("nothing to remove", err=True)
