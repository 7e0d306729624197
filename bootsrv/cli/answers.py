"""`bootsrv answers`: answer files for the distributions' own installers, checked before use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootsrv.cli.context import Context, as_json, harmless, pass_context, show_json
from bootsrv.cli.stored import KEEPING
from bootsrv.errors import BootsrvError, Invalid, NotFound

if TYPE_CHECKING:
    from bootsrv.answers.making import Made
    from pxe.answers.errors import Finding

_PATH = click.Path(path_type=Path)
_TARGETS = "rhel9, fedora42, debian13, rhl7.2 ..."
_for = click.option("--for", "goal", metavar="TARGET", default="", help=_TARGETS)
_profile = click.option("--profile", metavar="NAME", help="By this stored profile, not the node's own.")


@click.group()
def answers() -> None:
    """Answer files: kickstart, preseed, autoinstall and more, made from profiles or checked as they are.

    A stored text is a profile (NAME) or a layer: defaults, distribution:NAME, group:NAME, node:NAME. NAME@N
    is version N of it.
    """


for _verb in KEEPING:
    answers.add_command(_verb)


@answers.command()
@click.argument("what", metavar="FILE|NODES")
@_for
@_profile
@as_json
@pass_context
def validate(context: Context, what: str, goal: str, profile: str | None, json_: bool) -> None:
    """Check any answer FILE (with --for), or the answers of NODES, by what will read them: the installer's
    own parser, its own questions, its schema."""
    from bootsrv.answers import files

    if (path := _file(what)) is None:
        _validate_nodes(context, what, profile, json_)
        return
    if not goal:
        raise click.UsageError(f"say what the file is for: --for TARGET ({_TARGETS})")
    if path.suffix == ".toml":
        verb = f"bootsrv answers render {what} --for {goal}"
        raise Invalid(f"{what} is a profile: `{verb}` makes its file, and checks it")
    found = files.validate(files.read_text(path), files.target(goal))
    if json_:
        show_json([files.finding_record(one) for one in found])
    else:
        _show(found, f"{what}: good for {goal}")
    if any(not one.warning for one in found):
        raise click.exceptions.Exit(1)


def _validate_nodes(context: Context, what: str, profile: str | None, json_: bool) -> None:
    from bootsrv.answers import files

    verbs = context.appliance
    made = [verbs.profiles.render(node, profile) for node in verbs.nodes.select(what)]
    if json_:
        show_json([
            {"node": one.node.name, "target": one.target.name if one.target else None, "good": one.good,
             "findings": [files.finding_record(found) for found in one.rendered.findings]}
            for one in made
        ])  # fmt: skip
    else:
        for one in made:
            _show(one.rendered.findings, "", before=f"{one.node.name}: ")
            if one.good:  # notes or not
                click.echo(f"{one.node.name}: good{_by(one)}")
    if not all(one.good for one in made):
        raise click.exceptions.Exit(1)


def _by(one: Made) -> str:
    return f" for {one.target.name}" if one.target is not None else ""


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
    notes = (replace(one, warning=True) for one in got.notes)  # the profile is made all the same
    _show(notes, f"{file}: every line was understood", err=True)


@answers.command()
@click.argument("what", metavar="FILE|NODE", required=False)
@click.option("--for", "goal", metavar="TARGET", default="", help="Of a FILE: else what it says itself.")
@_profile
@click.option("--with-secrets", is_flag=True, help="As it is served; else secrets are masked.")
@click.option("--part", metavar="NAME", help="Of NoCloud: meta-data or network-config, not user-data.")
@pass_context
def render(
    context: Context, what: str | None, goal: str, profile: str | None, with_secrets: bool, part: str | None
) -> None:  # fmt: skip
    """Write the answers of a NODE, or of a profile FILE (TOML), and have them checked by what will read them.

    With --profile and no NODE: what the profile makes of a node that nobody has.
    """
    from bootsrv.answers import files
    from bootsrv.appliance.secrets import DISK_KEY, MASK

    path = _file(what) if what is not None else None
    if what is None and profile is None:
        raise click.UsageError("name a node, a profile's file, or a profile with --profile")
    if path is not None:
        own = files.load_profile(path)
        secrets = _secrets(path) if with_secrets else dict.fromkeys((*_secrets(path), DISK_KEY), MASK)
        done = files.render(own, files.target(goal or own.target), secrets)
    elif what is not None:
        verbs = context.appliance
        done = verbs.profiles.render(verbs.nodes.show(what), profile, with_secrets).rendered
    else:
        done = context.appliance.profiles.example(profile or "").rendered
    _show(done.findings, "", err=True)
    if not done.good:
        raise click.exceptions.Exit(1)
    if part is not None and part not in done.beside:
        raise Invalid(
            f"there is no part {part!r} beside this file: {', '.join(done.beside) or 'it is the only one'}"
        )
    click.echo(done.beside[part] if part is not None else done.text, nl=False)


@answers.command()
@click.argument("one", metavar="ONE")
@click.argument("other", metavar="OTHER")
@pass_context
def diff(context: Context, one: str, other: str) -> None:
    """Show what differs between two profiles: files, or stored texts (NAME, NAME@N). Exit code 1 when
    something does."""
    from bootsrv.answers import files

    paths = _file(one), _file(other)
    if paths[0] is not None and paths[1] is not None:
        text = files.compare(paths[0], paths[1])
    else:
        texts = [
            files.read_text(path) if path is not None else context.appliance.profiles.get(name).text
            for path, name in zip(paths, (one, other), strict=True)
        ]
        text = files.difference(texts[0], texts[1], one, other)
    if text:
        click.echo(text, nl=False)
        raise click.exceptions.Exit(1)


@answers.command()
@click.password_option()
def hash(password: str) -> None:  # the verb's own name
    """Make the hash of a password, for profiles: they hold no plain ones."""
    from bootsrv.answers.crypt import typed_hashed

    click.echo(typed_hashed(password))


def _file(what: str) -> Path | None:
    """Whether a word means a file: it is there, or it looks like a path. Raises NotFound."""
    path = Path(what)
    if path.is_file():
        return path
    if "/" in what or path.suffix in (".toml", ".ks", ".cfg", ".xml", ".ign", ".yaml", ".yml", ".bu"):
        raise NotFound(f"{what}: no such file")
    return None


def _show(found: Iterable[Finding], otherwise: str, err: bool = False, before: str = "") -> None:
    found = list(found)
    for one in found:
        layer = f" (from {one.layer})" if one.layer else ""
        click.echo(harmless(f"{before}{'note' if one.warning else 'error'}: {one}{layer}"), err=err)
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
        path.touch()
        path.chmod(0o600)  # also where it was there before
        path.write_text(text)
    except OSError as error:
        raise BootsrvError(f"{path}: {error.strerror}") from error
