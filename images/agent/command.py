"""The one-file agent's command line: one table of commands, each imported when it is named.

Exit codes: 0 done, 1 failed, 2 usage. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import sys
from typing import Callable, Dict, List, NamedTuple

from images.errors import ImageError

CERTIFICATE = "BOOTSRV_CERTIFICATE"  # a variable's name: what the server shows, where it speaks HTTPS


class Command(NamedTuple):
    """`run` gets the arguments after the command's name and the server's address; returns the exit code."""

    run: Callable[[List[str], str], int]
    help: str


def _inventory(arguments: List[str], server: str) -> int:
    import json

    from images.agent import inventory

    sys.stdout.write(json.dumps(inventory.inventory(), indent=2) + "\n")
    return 0


def _capture(arguments: List[str], server: str) -> int:
    from images.agent.capture.cli import main

    return main(arguments, server)


def _update(arguments: List[str], server: str) -> int:
    from images.agent.update.cli import run_update

    return run_update(arguments, server)


def _drift(arguments: List[str], server: str) -> int:
    from images.agent.update.cli import run_drift

    return run_drift(arguments, server)


def _resume(arguments: List[str], server: str) -> int:
    from images.agent.update.cli import run_resume

    return run_resume(arguments, server)


def _files(arguments: List[str], server: str) -> int:
    from images.agent.netroot.live import run

    return run()


# Imports by function, not by name: the bundle finds the modules by following import statements.
COMMANDS: Dict[str, Command] = {
    "capture": Command(_capture, "make this machine an image on the server"),
    "files": Command(_files, "what the server has for this diskless machine; `bootsrv node apply` starts it"),
    "inventory": Command(_inventory, "what this machine is, as JSON"),
    "update": Command(_update, "become another version; started by `bootsrv push`"),
    "drift": Command(_drift, "how this machine differs from its version; started by `bootsrv node drift`"),
    "resume": Command(_resume, "complete, confirm or take back an update; what its unit runs"),
}


def main(arguments: List[str], server: str, certificate: str = "") -> int:
    """Runs one command; every failure is one line."""
    if certificate:
        os.environ[CERTIFICATE] = certificate
    name = arguments[0] if arguments else ""
    command = COMMANDS.get(name)
    if command is None:
        sys.stderr.write(_usage(name, server))
        return 2
    try:
        return command.run(arguments[1:], server)
    except (ImageError, OSError) as error:
        sys.stderr.write(f"bootsrv {name}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"bootsrv {name}: interrupted\n")
        return 130


def _usage(name: str, server: str) -> str:
    lines = [f"bootsrv agent: there is no command {name!r}"] if name else []
    lines.append(f"usage: curl -fsS {server}/agent | sudo python3 - COMMAND ...")
    lines += [f"  {known:<10} {command.help}" for known, command in COMMANDS.items()]
    return "\n".join(lines) + "\n"
