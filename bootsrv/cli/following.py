"""Follows imagings to their end: bars on a terminal, one line for each step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bootsrv.appliance.appliance import Appliance
from bootsrv.errors import BootsrvError
from bootsrv.model import Event, Node, NodeState
from bootsrv.timeline import read_progress

# The imager reports a step when it is done, so this is what comes next.
STEPS = {
    "dhcp.discover": "asks what to boot",
    "imager.up": "imager is up",
    "deploy.started": "preparing the disk",
    "deploy.partition": "making file systems",
    "deploy.format": "writing",
    "deploy.files": "verifying",
    "deploy.verify": "making it this node",
    "deploy.personalise": "installing the boot loader",
    "deploy.done": "imaged, restarting",
    "install.started": "its installer fetches its answers",
    "install.done": "installed, restarting",
    "boot.diskless": "starts its image's kernel",
    "root.up": "mounting its root",
    "root.done": "its root is mounted",
    "home": "runs from its own disk",
}
DISKLESS = {"home": "runs"}
FAILURES = ("deploy.failed", "install.failed", "root.failed")


def follow(
    verbs: Appliance,
    nodes: Sequence[Node],
    since: int,
    timeout: float | None,
    bars: bool,
    booted: bool = False,
) -> None:
    """Returns when every node runs, or is off if that is how imaging ends; with `booted`, when each has
    called home once more. Raises BootsrvError when one failed or the time is over."""
    waiting = {node.id: node for node in nodes}
    ends = time.monotonic() + timeout if timeout is not None else None
    failed: list[str] = []
    steps = {**STEPS, **(DISKLESS if booted else {})}
    with ExitStack() as stack:
        show: _Bars | _Lines = _Bars(stack, nodes, steps) if bars else _Lines(nodes, steps)
        for batch in verbs.watch.follow(since, time.sleep):
            for event in batch:
                if event.node in waiting:
                    show.step(event)
                if event.node in waiting and booted and event.kind == "home":
                    waiting.pop(event.node)
                if event.node in waiting and event.kind == "node.disarmed":
                    failed.append(f"{waiting.pop(event.node).name}: the arming was taken back")
            failed += _ended(verbs, waiting, booted) if batch else []
            if not waiting:
                break
            if ends is not None and time.monotonic() > ends:
                names = ", ".join(node.name or "" for node in waiting.values())
                raise BootsrvError(f"not done after {timeout:.0f} s: {names}")
    if failed:
        raise BootsrvError("; ".join(failed))


def _ended(verbs: Appliance, waiting: dict[int, Node], booted: bool) -> list[str]:
    """Takes the nodes that have come to an end out of `waiting`; what went wrong with them."""
    failed = []
    for node_id in list(waiting):
        node = verbs.registry.nodes.get(node_id)
        if node is None:
            failed.append(f"{waiting.pop(node_id).name}: was removed")
        elif node.state is NodeState.FAILED:
            failed.append(f"{waiting.pop(node_id).name}: {node.error}")
        elif booted:
            continue
        elif node.state is NodeState.RUNNING or (
            node.state is NodeState.INSTALLED and verbs.config.imager.finish == "poweroff"
        ):
            waiting.pop(node_id)
    return failed


class _Lines:
    """For logs and pipes: a line for each step, and for each tenth of the bytes."""

    def __init__(self, nodes: Sequence[Node], steps: Mapping[str, str]) -> None:
        self._steps = steps
        self._names = {node.id: node.name for node in nodes}
        self._tenths: dict[int, int] = {}

    def step(self, event: Event) -> None:
        node = event.node or 0
        text = self._steps.get(event.kind)
        if event.kind in FAILURES:
            text = f"failed: {event.text}"
        if event.kind == "install.step":
            text = event.text
        if event.kind == "deploy.progress" and (progress := read_progress(event.data)):
            tenth = progress.done * 10 // max(progress.total, 1)
            if tenth == self._tenths.get(node):
                return
            self._tenths[node] = tenth
            eta = f", {progress.eta:.0f} s left" if progress.eta is not None else ""
            rate = f"{progress.rate / 2**20:.1f} MiB/s{eta}"
            text = f"writing {tenth * 10} % of {progress.total / 2**20:.0f} MiB, {rate}"
        if text is not None:
            click.echo(f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {self._names[node]}: {text}")


class _Bars:
    """For a terminal: a bar for each node."""

    def __init__(self, stack: ExitStack, nodes: Sequence[Node], steps: Mapping[str, str]) -> None:
        self._steps = steps
        columns = (
            TextColumn("{task.fields[node]:<12}"), TextColumn("{task.description:<26}"), BarColumn(),
            DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
        self._tasks: dict[int, TaskID] = {
            node.id: self._progress.add_task("waiting for its next boot", total=None, node=node.name)
            for node in nodes
        }

    def step(self, event: Event) -> None:
        task = self._tasks[event.node or 0]
        if event.kind == "deploy.progress" and (progress := read_progress(event.data)):
            self._progress.update(task, description="writing", completed=progress.done, total=progress.total)
        elif event.kind == "install.step":
            self._progress.update(task, description=escape(event.text[:26]))
        elif event.kind in FAILURES:
            self._progress.update(task, description=f"[red]failed: {escape(event.text)}")
        elif event.kind in self._steps:
            self._progress.update(task, description=self._steps[event.kind])
