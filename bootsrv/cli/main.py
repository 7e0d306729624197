"""`bootsrv`: the command line. Every command is one call of a verb; this file only knows where they are.

Commands are imported when they are named, so that the shell's answer comes fast. Exit codes: 0 done, 1
failed, 2 usage, 130 after Ctrl-C, 143 after SIGTERM, 129 after the terminal hung up.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

from bootsrv.cli.context import Context, harmless
from bootsrv.errors import BootsrvError, Needed

# name -> (module, attribute, one line of help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "node": ("bootsrv.cli.node", "node", "Register machines: add, adopt, set, list, show, remove, import."),
    "group": ("bootsrv.cli.group", "group", "DHCP options of groups of nodes."),
    "identify": ("bootsrv.cli.identity", "identify", "Know a node by client-id, UUID or relay port too."),
    "lease": ("bootsrv.cli.lease", "lease", "Addresses that were given out: list, release."),
    "image": (
        "bootsrv.cli.image", "image",
        "Images: import, capture, edit, export, list, show, diff, tag, prune, remove, gc, verify.",
    ),
    "reimage": ("bootsrv.cli.reimage", "reimage", "Put an image on NODES at their next boot."),
    "tree": ("bootsrv.cli.tree", "tree", "Install trees: import, list, show, verify, updates, remove."),
    "mirror": ("bootsrv.cli.mirror", "mirror", "Package archives for installers: list, fill, show, remove."),
    "install": ("bootsrv.cli.install", "install", "Set NODES up by their distribution's own installer."),
    "answers": ("bootsrv.cli.answers", "answers", "Answer files: save profiles, render, validate, import."),
    "push": ("bootsrv.cli.push", "push", "Bring running NODES to a version; only what differs moves."),
    "power": ("bootsrv.cli.power", "power", "Switch NODES on, off, or off and on."),
    "export": ("bootsrv.cli.export", "export", "Roots of diskless machines: list, show."),
    "explain": ("bootsrv.cli.watch", "explain", "What a node would boot, and why."),
    "timeline": ("bootsrv.cli.watch", "timeline", "A node's boots, stage by stage."),
    "events": ("bootsrv.cli.watch", "events", "What happened, and what happens now."),
    "log": ("bootsrv.cli.watch", "log", "What the imager said on a node's console."),
    "user": ("bootsrv.cli.user", "user", "Who may log in: passwd, list, remove, token."),
    "doctor": ("bootsrv.cli.service", "doctor", "Look for what will go wrong, and say what to do."),
    "backup": ("bootsrv.cli.backup", "backup", "Everything that makes this server, in one file."),
    "restore": ("bootsrv.cli.backup", "restore", "A server from its backup."),
    "serve": ("bootsrv.cli.service", "serve", "Run the service in the foreground."),
    "bench": ("bootsrv.cli.bench", "bench", "Measure a server from outside: a storm of simulated machines."),
    "lab": ("bootsrv.cli.lab", "lab", "Virtual machines with real firmware in a private network."),
}


OPTIONS = {"paths": "path"}  # fields of requests whose option has another name


class Commands(click.Group):
    """The commands above, imported when they are used."""

    def invoke(self, ctx: click.Context) -> object:
        """Raises EnvironmentFailed for what the system refuses: one plain line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            from bootsrv.cli.environment import EnvironmentFailed, explained

            raise EnvironmentFailed(explained(error, ctx.obj)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", metavar="FILE", help="Configuration; else $BOOTSRV_CONFIG, else /etc/bootsrv/bootsrv.toml."
)
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.pass_context
def cli(ctx: click.Context, config: str | None, debug: bool) -> None:
    """Takes bare machines from power-on to running, and keeps them there.

    NODES are names, MACs, ranges and groups: n1  n[01-32]  @rack3  @all  n1,n[3-5]
    """
    ctx.obj = Context(config)
    if debug:
        logging.basicConfig(level=logging.DEBUG)


def main() -> None:
    """The entry point of the `bootsrv` program."""
    _end_in_order()
    try:
        sys.exit(cli.main(prog_name="bootsrv", standalone_mode=False) or 0)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Needed as error:
        _fail(error, error.exit_code, f"{error}: give it with --{OPTIONS.get(error.field, error.field)}")
    except BootsrvError as error:
        _fail(error, error.exit_code)
    except BrokenPipeError:
        sys.stdout = None  # whoever read us has left: nothing is to be flushed
        sys.exit(1)


def _end_in_order() -> None:
    """A polite kill ends a command as Ctrl-C does: whatever it has begun is cleared away. `serve` takes these
    signals over; of kill -9 the kernel and the next command take care."""
    asked = (signal.SIGTERM, signal.SIGHUP)

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for one in asked:  # clearing away is not to be cut short; handlers, unlike SIG_IGN, are not inherited
            signal.signal(one, lambda *_: None)
        sys.exit(128 + number)

    for one in asked:
        if signal.getsignal(one) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(one, end)


def _fail(error: Exception, code: int, text: str | None = None) -> None:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    lines = str(text or error).split("\n")  # some are a machine's own words
    joined = "\n".join(map(harmless, lines))
    click.echo(f"bootsrv: {joined}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
