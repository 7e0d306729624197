"""What every command shares: the configuration, the appliance (opened when first used), and how results are
shown.

Nothing heavy is imported here: `bootsrv --help` must come at once.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bootsrv.appliance.appliance import Appliance
    from bootsrv.config import Config


class Context:
    """One run of the command line."""

    def __init__(self, config_file: str | None) -> None:
        self._config_file = config_file

    @property
    def config_file(self) -> Path:
        """Where the configuration is."""
        from bootsrv.config import find_file

        return find_file(self._config_file)

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ConfigError."""
        from bootsrv.config import load
        from bootsrv.errors import ConfigError

        try:
            return load(self.config_file)
        except ConfigError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            from bootsrv.cli.environment import AS_ROOT

            raise ConfigError(f"{error}; {AS_ROOT}") from error

    @cached_property
    def appliance(self) -> Appliance:
        """The verbs. Raises OSError when the data directory cannot be used."""
        from bootsrv.appliance.appliance import Appliance

        return Appliance.open(self.config)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

pass_context = click.make_pass_decorator(Context)
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


def show_json(value: object) -> None:
    """JSON on stdout, readable by people too."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def said(record: object, line: str, json_: bool) -> None:
    """What a verb did: as JSON, or in a line."""
    if json_:
        show_json(record)
    else:
        click.echo(line)


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Aligned columns; `empty` is said on stderr when there are no rows, so that stdout stays clean."""
    texts = [["" if cell is None else harmless(str(cell)) for cell in row] for row in rows]
    if not texts:
        click.echo(empty, err=True)
        return
    widths = [max(len(row[place]) for row in [list(headings), *texts]) for place in range(len(headings))]
    for row in [list(headings), *texts]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_fields(fields: Mapping[str, object]) -> None:
    """One thing, a line for each field that says something."""
    said = ((name, value) for name, value in fields.items() if value not in (None, "", [], {}, ()))
    shown = {name.replace("_", " "): value for name, value in said}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(harmless(f"{name.ljust(width)}  {_plain(value)}"))


def dated(value: object) -> object:
    """A record whose `at` is seconds, for people."""
    from datetime import datetime

    if isinstance(value, dict) and isinstance(value.get("at"), int):
        return {**value, "at": f"{datetime.fromtimestamp(value['at']):%Y-%m-%d %H:%M:%S}"}
    return value


def _plain(value: object, inner: bool = False) -> str:
    """A value in words: lists by commas, records as NAME=VALUE, what says nothing left out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        between = "; " if any(isinstance(item, dict) for item in value) else "," if inner else ", "
        return between.join(_plain(item, inner) for item in value)
    if isinstance(value, dict):
        said = {name: one for name, one in value.items() if one not in (None, "", [], {}, ())}
        text = ", ".join(f"{name.replace('_', '-')}={_plain(one, inner=True)}" for name, one in said.items())
        return f"({text})" if inner else text
    return str(value)


def harmless(text: str) -> str:
    """Text that a machine told us (its maker, a file name, an error), without what would steer a terminal:
    that is written as \\n, \\xNN.
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def on_terminal() -> bool:
    """Whether a person watches: progress bars there, plain lines elsewhere."""
    return sys.stderr.isatty()


def options_of(pairs: Sequence[str]) -> dict[str, Any] | None:
    """`NAME=VALUE` words to DHCP options. A value in JSON is taken as such; an empty one removes the
    option."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE")
        found[name.strip()] = _value(value.strip()) if value.strip() else None
    return found or None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        parts = [part.strip() for part in text.split(",")]
        return parts if len(parts) > 1 else text
