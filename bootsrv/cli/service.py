"""`bootsrv serve` and `bootsrv doctor`."""

from __future__ import annotations

import sys

import click

from bootsrv.cli.context import Context, as_json, pass_context, show_json


@click.command()
@click.option("--config", metavar="FILE", help="The configuration file.")
@pass_context
def serve(context: Context, config: str | None) -> None:
    """Run the service in the foreground. Prints `ready` on stderr when all listeners are up."""
    from bootsrv.daemon import serve as run

    chosen = Context(config).config if config else context.config
    sys.exit(run(chosen))


@click.command()
@as_json
@pass_context
def doctor(context: Context, json_: bool) -> None:
    """Look for what will go wrong, and say what to do.

    Exit code 1 when an error is found: machines would not boot. Warnings alone are exit code 0.
    """
    from bootsrv import preflight
    from bootsrv.finding import Level

    findings = preflight.look(context.config, preflight.ALL)
    if json_:
        show_json([{"level": str(f.level), "what": f.what, "do": f.do} for f in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.level}: {finding.what}\n    {finding.do}")
        if not findings:
            click.echo("nothing found: machines can boot")
    sys.exit(1 if any(f.level is Level.ERROR for f in findings) else 0)
