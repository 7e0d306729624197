"""`bootsrv answers`: answer files for the distributions' own installers, checked before use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootsrv.cli.context import as_json, show_json
from bootsrv.errors import BootsrvError, Invalid

if TYPE_CHECKING:
    from pxe.answers.errors import Finding

_PATH = click.Path(path_type=Path)
_TARGETS = "rhel9, fedora42, debian13, rhl7.2 ..."
_for = click.option("--for", "goal", metavar="TARGET", required=True, help=_TARGETS)


@click.group()
def answers() -> None:
    """Answer files: kickstart and preseed, made from one profile or checked as they are."""


@answers.command()
@click.argument("file", type=_PATH)
@_for
@as_json
def validate(file: Path, goal: str, json_: bool) -> None:
    """Check any answer FILE by what will read it: the installer's own parser, or its own questions."""
    from bootsrv.answers import files

    found = files.validate(files.read_text(file), files.target(goal))
    if json_:
        show_json([files.finding_record(one) for one in found])
    else:
        _show(found, f"{file}: good for {goal}")
    if any(not one.warning for one in found):
        raise click.exceptions.Exit(1)


@answers.command(name="import")
@click.argument("file", type=_PATH)
@click.option("--for", "goal", metavar="TARGET", default="", help="What the file was written for.")
@click.option("--out", type=_PATH, help="Where the profile goes; else standard output.")
def import_(file: Path, goal: str, out: Path | None) -> None:
    """Turn an existing kickstart FILE into a profile. What the profile cannot hold stays as raw lines."""
    from bootsrv.answers import files

    got = files.take_over(files.read_text(file), goal)
    if got.secrets and out is None:
        raise Invalid("the file has passphrases; name a place for the profile with --out, they go beside it")
    text = files.to_toml(got.profile)
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)
        if got.secrets:
            _write(_secrets_file(out), "".join(f"{name}={value}\n" for name, value in got.secrets.items()))
    _show(got.notes, f"{file}: every line was understood", err=True)


@answers.command()
@click.argument("profile", type=_PATH)
@click.option("--for", "goal", metavar="TARGET", default="", help="Else what the profile says.")
def render(profile: Path, goal: str) -> None:
    """Write PROFILE (TOML) as the answer file of its target, and have it checked by what will read it."""
    from bootsrv.answers import files

    made = files.load_profile(profile)
    done = files.render(made, files.target(goal or made.target), _secrets(profile))
    _show(done.findings, "", err=True)
    if not done.good:
        raise click.exceptions.Exit(1)
    click.echo(done.text, nl=False)


@answers.command()
@click.argument("one", type=_PATH)
@click.argument("other", type=_PATH)
def diff(one: Path, other: Path) -> None:
    """Show what differs between two profiles. Exit code 1 when something does."""
    from bootsrv.answers import files

    text = files.compare(one, other)
    if text:
        click.echo(text, nl=False)
        raise click.exceptions.Exit(1)


@answers.command()
@click.password_option()
def hash(password: str) -> None:  # the verb's own name
    """Make the hash of a password, for profiles: they hold no plain ones."""
    from bootsrv.answers.crypt import hashed

    click.echo(hashed(password))


def _show(found: Iterable[Finding], otherwise: str, err: bool = False) -> None:
    found = list(found)
    for one in found:
        click.echo(f"{'note' if one.warning else 'error'}: {one}", err=err)
    if not found and otherwise:
        click.echo(otherwise, err=err)


def _secrets_file(profile: Path) -> Path:
    return profile.with_suffix(".secrets")


def _secrets(profile: Path) -> dict[str, str]:
    file = _secrets_file(profile)
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in file.read_text().splitlines() if line.strip())
    return {name: value for name, _, value in pairs}


def _write(path: Path, text: str) -> None:
    """Readable by its owner alone: a profile has password hashes."""
    try:
        path.touch(mode=0o600)
        path.write_text(text)
    except OSError as error:
        raise BootsrvError(f"{path}: {error.strerror}") from error
