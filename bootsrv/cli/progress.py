"""Long work on the command line: a bar on a terminal, a plain line every few seconds elsewhere. All on
stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bootsrv.cli.context import harmless, on_terminal
from images.progress import Progress

EVERY_SECONDS = 5.0


@contextmanager
def progress_of(title: str) -> Iterator[Progress]:
    """Gives the callback that long verbs take (bytes done, bytes in total or None, what is at work)."""
    if not on_terminal():
        yield _Lines(title)
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.DownloadColumn(binary_units=True),
        bars.TransferSpeedColumn(),
        bars.TextColumn("{task.fields[what]}", style="dim", markup=False),  # may be any file's name
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=None, what="")

        def told(done: int, total: int | None, what: str) -> None:
            shown.update(task, completed=done, total=total, what=harmless(what[-50:]))

        yield told


class _Lines:
    def __init__(self, title: str) -> None:
        self._title, self._told = title, time.monotonic()

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if time.monotonic() - self._told < EVERY_SECONDS:
            return
        self._told = time.monotonic()
        of = f" of {total / 2**20:.0f}" if total else ""
        amount = f"{done / 2**20:.0f}{of} MiB, " if done or total else ""  # building a root has no amount yet
        click.echo(f"{self._title}: {amount}{harmless(what)}", err=True)
