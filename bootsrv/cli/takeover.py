"""`bootsrv node import FILE`: another DHCP server's configuration, taken over.

What belongs into bootsrv.toml goes to stdout, so that it can be redirected; all that is said about the file
and its nodes goes to stderr. With --json everything is one object on stdout.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Sized
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, show_json
from bootsrv.errors import ConfigError, Conflict

if TYPE_CHECKING:
    from bootsrv.importing.imported import Imported
    from bootsrv.importing.takeover import Outcome


def take_over(context: Context, found: Imported, dry_run: bool, json_: bool) -> None:
    """Register what was read and show what came of it. Raises Conflict when there were problems."""
    outcome, known = _register(context, found, dry_run)
    if json_:
        show_json(_record(found, outcome, dry_run, known))
    else:
        _show(found, outcome, dry_run, known)
    if outcome.problems:
        count = len(outcome.problems)
        done = "nothing would be registered" if dry_run else "nothing was registered"
        raise Conflict(f"{done}: {count} problem{'s' if count > 1 else ''}, named above")


def read(file: Path, dialect: str | None, lookup: bool, boot_files: bool) -> Imported:
    """Read a file. Names are looked up as this machine would, unless `lookup` is off. Raises ImportFailed."""
    from bootsrv.importing import dialect as dialects
    from bootsrv.importing.boot_files import without_boot_files

    found = dialects.read(_text(file), file.name, dialect, _look_up if lookup else _nothing)
    return found if boot_files else without_boot_files(found)


def _register(context: Context, found: Imported, dry_run: bool) -> tuple[Outcome, Collection[IPv4Network]]:
    from bootsrv.importing.takeover import Outcome, take_over

    try:
        config = context.config
    except ConfigError as error:
        if not dry_run:
            raise
        click.echo(f"{error}; only the file itself was looked at", err=True)
        return Outcome(tuple(node.name for node in found.nodes), (), ()), ()
    return take_over(context.appliance, found, dry_run), frozenset(subnet.cidr for subnet in config.subnets)


def _text(file: Path) -> str:
    """UTF-8, or Latin-1 for files from before it."""
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@cache
def _look_up(name: str) -> IPv4Address | None:
    """What this machine's resolver says (/etc/hosts first, usually), as dhcpd itself would have asked."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET)
    except (socket.gaierror, UnicodeError):
        return None
    return IPv4Address(found[0][4][0]) if found else None


def _nothing(name: str) -> None:
    return None


def _show(found: Imported, outcome: Outcome, dry_run: bool, known: Collection[IPv4Network]) -> None:
    from bootsrv.importing.toml import snippet

    for note in found.notes:
        click.echo(str(note), err=True)
    for problem in outcome.problems:
        click.echo(f"problem: {problem}", err=True)
    if dry_run:
        for node in found.nodes:
            groups = " ".join(f"@{group}" for group in node.groups)
            known_by = ", ".join([*node.macs, *(f"{kind}={text}" for kind, text in node.identities)])
            words = (node.name, str(node.address or "(pool)"), known_by, groups)
            click.echo("  ".join(word for word in words if word), err=True)
    verb = "would be registered" if dry_run else "registered"
    there = f", {len(outcome.present)} already there" if outcome.present else ""
    counts = (_count(found.groups, "group"), _count(found.subnets, "subnet"), _count(found.notes, "note"))
    added = f"{_count(outcome.added, 'node')} {verb}{there}"
    click.echo(f"{found.source} ({found.dialect}): {'; '.join((added, ', '.join(counts)))}", err=True)
    lines = snippet(found, known)
    if lines:
        click.echo("# for bootsrv.toml:", err=True)
        click.echo(lines, nl=False)


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _record(
    found: Imported, outcome: Outcome, dry_run: bool, known: Collection[IPv4Network]
) -> dict[str, Any]:
    from bootsrv.importing.toml import snippet

    return {
        "file": found.source,
        "dialect": found.dialect,
        "dry_run": dry_run,
        "interfaces": list(found.interfaces),
        "domain": found.domain,
        "options": dict(found.options),
        "subnets": [
            {**item.table(), "line": item.line, "known": item.cidr in known} for item in found.subnets
        ],
        "groups": [
            {"name": item.name, "options": dict(item.options), "line": item.line} for item in found.groups
        ],
        "nodes": [
            {
                "name": node.name,
                "macs": list(node.macs),
                "identities": [f"{kind}={text}" for kind, text in node.identities],
                "address": str(node.address) if node.address is not None else None,
                "groups": list(node.groups),
                "options": dict(node.options),
                "line": node.line,
                "result": "present" if node.name in outcome.present else _result(node.name, outcome),
            }
            for node in found.nodes
        ],
        "problems": list(outcome.problems),
        "notes": [{"line": note.line, "kind": str(note.kind), "text": note.text} for note in found.notes],
        "toml": snippet(found, known),
    }


def _result(name: str, outcome: Outcome) -> str:
    return "added" if name in outcome.added else "not added"
