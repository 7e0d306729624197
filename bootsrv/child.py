"""What every supervised process does the same: read the configuration, log to stderr, say when it is ready,
end well.

The supervisor hands over a pipe in BOOTSRV_READY_FD; `ready` is written to it once all sockets are open. A
process that is started by hand, without the pipe, works as well.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import selectors
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from bootsrv.config import Config, load
from bootsrv.errors import BootsrvError
from pxe.errors import ForeignServer

Serve = Callable[[Config, asyncio.Event], Awaitable[int]]
READY_VARIABLE = "BOOTSRV_READY_FD"
MOVED = 75  # exit code: start me again at once (EX_TEMPFAIL in sysexits.h)


def run(name: str, serve: Serve, selector: selectors.BaseSelector | None = None) -> int:
    """Run a process: `serve` opens its sockets, calls `ready`, and returns the exit code once the event is
    set. `selector` is the event loop's, None: asyncio's own choice."""
    parser = argparse.ArgumentParser(prog=f"python -m bootsrv.{name}")
    parser.add_argument("--config", required=True, type=Path, help="the configuration file (TOML)")
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"bootsrv {name}: %(levelname)s %(message)s"
    )
    os.umask(0o007)
    _more_descriptors()
    try:
        config = load(options.config)
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            return runner.run(_until_stopped(config, serve))
    except BootsrvError as error:
        sys.stderr.write(f"bootsrv {name}: {error}\n")
        return error.exit_code
    except (OSError, ForeignServer) as error:
        sys.stderr.write(f"bootsrv {name}: {error}\n")
        return 1


def _more_descriptors() -> None:
    """A rack that boots at once takes two descriptors for each machine; the usual soft limit of 1,024 is for
    programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _until_stopped(config: Config, serve: Serve) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await serve(config, stop)


def ready() -> None:
    """Tell the supervisor, once, that every listener is up."""
    descriptor = os.environ.pop(READY_VARIABLE, None)
    if descriptor is not None:
        os.write(int(descriptor), b"ready\n")
        os.close(int(descriptor))
