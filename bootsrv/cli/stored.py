"""The verbs of `bootsrv answers` on stored texts: profiles, layers and secrets."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime
from pathlib import Path

import click

from bootsrv.cli.context import Context, as_json, pass_context, said, show_json, show_table


@click.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--comment", "-m", default="", help="What changed, for the history.")
@as_json
@pass_context
def save(context: Context, name: str, file: Path, comment: str, json_: bool) -> None:
    """Save FILE (TOML; - for standard input) as a new version of profile or layer NAME. It is refused when an
    installation could no longer be written for its target. Passphrases of an imported file, beside it, become
    secrets."""
    from bootsrv.answers import files
    from bootsrv.records import answer_record

    text = sys.stdin.read() if str(file) == "-" else files.read_text(file)
    verbs = context.appliance.profiles
    beside = file.with_suffix(".secrets")
    with context.appliance.registry.transaction():
        if str(file) != "-" and beside.exists():
            for line in beside.read_text().splitlines():
                key, _, value = line.partition("=")
                verbs.secrets.set(key, value)
        made = verbs.save(name, text, _who(), comment)
    said(answer_record(made), f"{name}: version {made.number}", json_)


@click.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """The stored profiles and layers, and how many nodes each is for."""
    from bootsrv.records import answer_record

    verbs = context.appliance.profiles
    rows = [answer_record(one) | {"nodes": len(verbs.users_of(one.ref))} for one in verbs.list()]
    if json_:
        show_json(rows)
        return
    shown = [(row["ref"], row["number"], row["nodes"], _when(row["at"]), row["author"], row["comment"])
             for row in rows]  # fmt: skip
    headings = ("NAME", "VERSION", "NODES", "SAVED", "BY", "COMMENT")
    show_table(headings, shown, "nothing is stored yet: bootsrv answers save NAME FILE")


@click.command()
@click.argument("name")
@as_json
@pass_context
def show(context: Context, name: str, json_: bool) -> None:
    """Print a stored text, as it was saved (NAME, or NAME@N)."""
    from bootsrv.records import answer_record

    found = context.appliance.profiles.get(name)
    if json_:
        show_json(answer_record(found) | {"text": found.text})
    else:
        click.echo(found.text, nl=not found.text.endswith("\n"))


@click.command()
@click.argument("name")
@as_json
@pass_context
def history(context: Context, name: str, json_: bool) -> None:
    """All versions of a stored text, the newest first."""
    from bootsrv.records import answer_record

    found = [answer_record(one) for one in context.appliance.profiles.history(name)]
    if json_:
        show_json(found)
        return
    rows = [(row["number"], _when(row["at"]), row["author"], row["comment"]) for row in found]
    show_table(("VERSION", "SAVED", "BY", "COMMENT"), rows, "")


@click.command()
@click.argument("name")
@as_json
@pass_context
def remove(context: Context, name: str, json_: bool) -> None:
    """Remove a stored text and all its versions; refused while nodes use it."""
    context.appliance.profiles.remove(name)
    said({"removed": name}, f"{name} removed", json_)


@click.group()
def secret() -> None:
    """Secrets that profiles name (passphrase = "secret:NAME"): set and used, never shown. `disk-key` is each
    node's own."""


@secret.command(name="set")
@click.argument("name")
@as_json
@pass_context
def set_(context: Context, name: str, json_: bool) -> None:
    """Make or change a secret. Without a terminal it is read from standard input."""
    if sys.stdin.isatty():
        value = click.prompt("Secret", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.readline().rstrip("\n")
    context.appliance.profiles.secrets.set(name, value)
    said({"name": name}, f"secret {name} set", json_)


@secret.command(name="list")
@as_json
@pass_context
def secrets(context: Context, json_: bool) -> None:
    """The names of the secrets, and when each was set."""
    found = context.appliance.profiles.secrets.list()
    if json_:
        show_json([{"name": name, "at": at} for name, at in found.items()])
        return
    show_table(("NAME", "SET"), [(name, _when(at)) for name, at in found.items()], "there is no secret")


@secret.command(name="remove")
@click.argument("name")
@as_json
@pass_context
def remove_secret(context: Context, name: str, json_: bool) -> None:
    """Forget a secret; refused while a profile names it."""
    context.appliance.profiles.secrets.remove(name)
    said({"removed": name}, f"secret {name} removed", json_)


KEEPING: tuple[click.Command, ...] = (save, list_, show, history, remove, secret)


def _who() -> str:
    """Who types: sudo keeps the name."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "minutes")
