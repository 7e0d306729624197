"""`python -m webui --config FILE`: the web process, as the supervisor of `bootsrv serve` starts it."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from flask import Flask

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config, load
from bootsrv.errors import ConfigError
from webui.app import create_app
from webui.server import WebServer

SOCKET = "web.sock"


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM. Exit 2 when the configuration cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m webui", description="The web process of bootsrv.")
    parser.add_argument("--config", required=True, type=Path, help="the configuration file (TOML)")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
    except ConfigError as error:
        sys.stderr.write(f"bootsrv web: {error}\n")
        return error.exit_code
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="bootsrv web: %(levelname)s %(message)s"
    )
    config.run_dir.mkdir(parents=True, exist_ok=True)
    WebServer(config.run_dir / SOCKET, _maker(config)).run()
    return 0


def _maker(config: Config) -> Callable[[Callable[[], bool]], Flask]:
    def make(stopping: Callable[[], bool]) -> Flask:
        appliance = Appliance.open(config)
        return create_app(appliance, appliance.users.session_secret(), stopping)

    return make


if __name__ == "__main__":
    sys.exit(main())
