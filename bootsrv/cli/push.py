"""`bootsrv push`: bring running nodes to a version, with a plan before and a proof after."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, as_json, on_terminal, pass_context, show_json, show_table
from bootsrv.cli.interrupted import interruption

if TYPE_CHECKING:
    from bootsrv.appliance.push import Step
    from bootsrv.waves import Outcome

HEADINGS = ("NODE", "FROM", "TO", "FILES", "PACKAGES", "RESTART", "REBOOT", "TO MOVE")
FEW = 6  # services named in the table
NAMED = 5  # failures in the last line; each was said when it happened


@click.command()
@click.argument("nodes")
@click.option("--image", help="NAME, NAME@NUMBER or NAME@TAG; becomes their image.")
@click.option("--dry-run", is_flag=True, help="Only show what it would do; no node is asked.")
@click.option("--jobs", default=8, show_default=True, type=click.IntRange(1, 500), help="Nodes at once.")
@click.option("--canary", default=0, type=click.IntRange(0), metavar="N", help="Do N nodes first.")
@click.option("--max-fail", default=0, type=click.IntRange(0), metavar="M", help="Go on with M failures.")
@click.option(
    "--confirm", default=0.0, metavar="MINUTES", type=click.FloatRange(0),
    help="A node that has not called home healthy by then returns to what it was.",
)  # fmt: skip
@click.option("--reboot", is_flag=True, help="Restart each node that changed, and wait for its call.")
@click.option("--checksum", is_flag=True, help="Read every file instead of trusting its times.")
@click.option("--no-patches", is_flag=True, help="Send whole chunks, make no binary patches.")
@click.option(
    "--via", default="auto", show_default=True, type=click.Choice(("auto", "agent", "ssh")),
    help="By the node's agent service, over SSH, or by whichever there is.",
)  # fmt: skip
@as_json
@pass_context
def push(
    context: Context, nodes: str, image: str | None, dry_run: bool, jobs: int, canary: int, max_fail: int,
    confirm: float, reboot: bool, checksum: bool, no_patches: bool, via: str, json_: bool,
) -> None:  # fmt: skip
    """Bring running NODES to a version of their image; only what differs crosses the wire.

    Each node stages and checks everything first and then switches name by name; a break at any point leaves
    it working, and a second push completes it.
    """
    from bootsrv import waves
    from bootsrv.appliance.push import Wanted
    from bootsrv.errors import BootsrvError

    verbs = context.appliance
    wanted = Wanted(image, confirm, reboot, checksum, not no_patches, via)
    with interruption("no node was asked or changed"):
        steps = verbs.pushes.plan(verbs.nodes.select(nodes), wanted, _Making())
    if dry_run:
        _show_plan(steps, json_)
        return
    reports: dict[str, Mapping[str, Any]] = {}

    def one(step: Step) -> None:
        name = step.node.name or ""
        try:
            reports[name] = verbs.pushes.push(step, wanted, _Hearing(name, quiet=json_))
        except (BootsrvError, OSError) as error:
            if not json_:
                _say(f"{name}: failed: {str(error).removeprefix(f'{name}: ')}")
            raise
        if not json_:
            _say(f"{name}: {_result(step, reports[name])}")

    again = "a node that broke off half way works, and the same push again completes it"
    with interruption(f"no further node was started; {again}"):
        outcome = waves.run(steps, one, jobs, canary, max_fail)
    if json_:
        show_json(_record(outcome, reports))
    else:
        _warn(reports)
    _close(outcome)


def _warn(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Of patterns that keep nothing from a push, neither of the old version nor of the new."""
    idle: dict[tuple[str, ...], list[str]] = {}
    for node, report in reports.items():
        if patterns := tuple(map(str, report.get("idle") or ())):
            idle.setdefault(patterns, []).append(node)
    for patterns, nodes in idle.items():
        lists = f"of the push lists of {_few(sorted(nodes))}"
        _say(f"warning: no name matches {', '.join(map(repr, patterns))} {lists}")


def _close(outcome: Outcome[Step]) -> None:
    """Raises when not every node was brought there."""
    from bootsrv.errors import BootsrvError

    if outcome.failed:
        why = "; ".join(str(error) for _, error in outcome.failed[:NAMED])
        more = len(outcome.failed) - NAMED
        why += f"; and {more} more, above and in `bootsrv events`" if more > 0 else ""
        left = f"; not started: {', '.join(s.node.name or '' for s in outcome.left)}" if outcome.left else ""
        tried = len(outcome.done) + len(outcome.failed)
        raise BootsrvError(f"{len(outcome.failed)} of {tried} failed: {why}{left}")


class _Making:
    """Says now and then how far the patches are, where that takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 2.0

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 5.0
            click.echo(f"making patches: {done * 100 // max(total or 1, 1)} %", err=True)


class _Hearing:
    """What a node says on its way: a line for each part, and now and then one for the bytes."""

    def __init__(self, name: str, quiet: bool) -> None:
        self._name, self._quiet, self._next = name, quiet, 0.0

    def __call__(self, said: Mapping[str, Any]) -> None:
        step = said.get("step")
        text = None
        if step == "compared":
            text = f"{said.get('differ')} names differ"
        elif step in ("recovered", "wait"):
            text = str(said.get("text"))
        elif step == "switch":
            text = "all staged and checked, switching"
        elif step == "fetch" and time.monotonic() >= self._next:
            self._next = time.monotonic() + (1.0 if on_terminal() else 10.0)
            text = f"{said.get('done', 0) / 2**20:.0f} of {said.get('total', 0) / 2**20:.0f} MiB staged"
        if text and not self._quiet:
            _say(f"{self._name}: {text}")


def _say(text: str) -> None:
    from bootsrv.cli.context import harmless

    click.echo(harmless(text))


def _result(step: Step, report: Mapping[str, Any]) -> str:
    changed = sum(int(report.get(key) or 0) for key in ("made", "attributes", "removed"))
    if not changed:
        return f"is {step.version.ref} already"
    fetched = (report.get("fetched") or 0) / 2**20
    text = f"{step.version.ref}, {changed} names changed, {fetched:.1f} MiB fetched"
    if report.get("drift"):
        text += f", {report['drift']} still differ"
    if report.get("reboot"):
        text += "; reboot needed"
    elif report.get("services"):
        text += f"; restart {', '.join(report['services'])}"
    return text


def _record(outcome: Outcome[Step], reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "done": {step.node.name: dict(reports[step.node.name or ""]) for step in outcome.done},
        "failed": {step.node.name: str(error) for step, error in outcome.failed},
        "left": [step.node.name for step in outcome.left],
    }


def _show_plan(steps: Sequence[Step], json_: bool) -> None:
    if json_:
        show_json([_plan_record(step) for step in steps])
        return
    show_table(HEADINGS, map(_row, steps), "no node")
    known = [step for step in steps if step.report is not None]
    if known:
        files = sum(sum(step.report.counts().values()) for step in known if step.report is not None)
        moved = sum(step.bytes or 0 for step in known)
        click.echo(
            f"{len(known)} of {len(steps)} nodes change: {files} names, about {moved / 2**20:.1f} MiB, "
            f"{sum(step.reboot for step in known)} reboots",
            err=True,
        )


def _row(step: Step) -> tuple[object, ...]:
    start = step.base.ref if step.base is not None else "unknown"
    if step.report is None:
        known = step.base is not None
        files = "same" if known else "the node tells"
        return (step.node.name, start, step.version.ref, files, "", "", "", "")
    counts = step.report.counts()
    files = f"+{counts['added']} -{counts['removed']} ~{counts['changed']}"
    reboot = ", ".join(step.report.reboot) or "no"
    return (
        step.node.name, start, step.version.ref, files, len(step.report.packages),
        _few(step.report.restart), reboot, f"{(step.bytes or 0) / 2**20:.1f} MiB",
    )  # fmt: skip


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(name.removesuffix(".service") for name in names[:FEW]) + more


def _plan_record(step: Step) -> dict[str, Any]:
    report = step.report
    return {
        "node": step.node.name, "from": step.base.ref if step.base else None, "to": step.version.ref,
        "bytes": step.bytes if report is not None else (0 if step.base else None), "reboot": step.reboot,
        "reboot_for": list(report.reboot) if report is not None else [],
        "counts": report.counts() if report is not None else {},
        "packages": {n: list(v) for n, v in report.packages.items()} if report is not None else {},
        "services": dict(report.services) if report is not None else {},
        "restart": list(report.restart) if report is not None else [],
    }  # fmt: skip
