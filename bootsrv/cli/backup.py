"""`bootsrv backup` and `bootsrv restore`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json
from bootsrv.cli.progress import progress_of

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_PATH)
@click.option("--no-images", is_flag=True, help="Leave the images out; the keys that sign them are in it.")
@as_json
@pass_context
def backup(context: Context, file: Path, no_images: bool, json_: bool) -> None:
    """Write everything that makes this server to FILE, while it runs: nodes, leases, users, keys, images.

    FILE holds every secret of the server, readable by its owner alone: keep it where the server's disk is
    not.
    """
    from bootsrv.backup.write import write
    from images.sizes import human

    with progress_of("backup") as told:
        done = write(context.config, file, not no_images, told)
    size = file.stat().st_size
    if json_:
        show_json({"file": str(file), "files": done.files, "bytes": size, "images": done.images})
    else:
        what = "" if done.images else ", without images"
        click.echo(f"{file}: {done.files} files, {human(size)}{what}")


@click.command()
@click.argument("file", type=_PATH)
@click.option("--replace", is_flag=True, help="Take the place of what is there, which is kept beside it.")
@as_json
@pass_context
def restore(context: Context, file: Path, replace: bool, json_: bool) -> None:
    """Make this server the one of a backup. Everything is checked before anything is put in its place.

    On a new machine the configuration comes from the backup too, where there is none yet.
    """
    from bootsrv.backup import read

    _configuration(context, file)
    with progress_of("restore") as told:
        done = read.restore(file, context.config.data_dir, replace, told)
    if json_:
        aside = str(done.aside) if done.aside else None
        show_json({
            "data_dir": str(done.data_dir), "files": done.files, "host": done.host, "made": done.made,
            "images": done.images, "replaced": aside,
        })  # fmt: skip
        return
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(done.made))
    click.echo(f"{done.data_dir}: {done.files} files, as of {made} on {done.host}")
    if done.aside:
        click.echo(f"what was there before is in {done.aside}")
    if not done.images:
        click.echo("the backup has no images: import or capture them again, under the names the nodes use")


def _configuration(context: Context, file: Path) -> None:
    """Writes the backup's configuration where this machine has none."""
    from bootsrv.backup import read

    place = context.config_file
    if place.exists():
        return
    _, text = read.configuration(file)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch(mode=0o640)
    place.write_bytes(text)
    click.echo(f"wrote {place}: look at its interfaces and addresses before the first start", err=True)
