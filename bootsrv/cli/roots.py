"""The options that say how a diskless node gets its root, shared by the verbs on nodes, groups and boots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
ROOT_OPTIONS = (
    click.option("--root", help="Of a diskless node: ram, nfs or nbd."),
    click.option(
        "--writes",
        help="What becomes of what it writes: discard, compress, keep, or paths (with --path).",
    ),
    click.option("--path", "paths", multiple=True, help="A directory that is kept; give it again for more."),
    click.option("--write-limit", metavar="SIZE", help="How much it may write, such as 2G."),
)


def root_options(command: F) -> F:
    """All of them on one command."""
    for option in reversed(ROOT_OPTIONS):
        command = option(command)
    return command


def root_of(given: dict[str, Any]) -> dict[str, Any]:
    """Their values as the verbs want them; what was not given stays as it is."""
    return {
        "root": given["root"],
        "writes": given["writes"],
        "paths": list(given["paths"]) or None,
        "write_limit": given["write_limit"],
    }
