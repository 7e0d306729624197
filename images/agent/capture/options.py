"""The options of `capture`, for a person at the machine, the server over SSH, and the imager.

Python 3.8, standard library only.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import List

from images.agent.command import CERTIFICATE
from images.agent.update.task import row_from_environment
from images.errors import BadInput
from images.patterns import check_patterns

TOKEN = "BOOTSRV_TOKEN"  # noqa: S105 - a variable's name: there the token is in no list of processes


def parse(arguments: List[str], server: str) -> argparse.Namespace:
    """The options; ends the program with code 2 for what cannot be understood."""
    parser = argparse.ArgumentParser(
        prog=f"curl -fsS {server}/agent | sudo python3 - capture",
        description="Makes this machine the next version of an image on the server. Nothing here is changed.",
    )
    parser.add_argument("--token", default=os.environ.get(TOKEN, ""), help=f"from the server; or in ${TOKEN}")
    parser.add_argument("--name", default="", help="the image's name (default: what the token is for)")
    parser.add_argument("--comment", default="", help="a line for the list of versions")
    parser.add_argument("--server", default=server, metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, default=Path("/"), help="the tree to capture (default: /)")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN",
        help="leave out as well: a shell pattern on /path; files:PATTERN keeps the directories",
    )  # fmt: skip
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATTERN",
        help="take this pattern off the list of what is left out",
    )  # fmt: skip
    parser.add_argument(
        "--exclude-update", action="append", default=[], metavar="PATTERN",
        help="what updates of machines with this image are not to touch",
    )  # fmt: skip
    parser.add_argument(
        "--with", dest="wanted", action="append", default=[], metavar="PATH",
        help="capture the file system mounted there too (/home)",
    )  # fmt: skip
    parser.add_argument(
        "--without", dest="unwanted", action="append", default=[], metavar="PATH",
        help="do not capture the file system mounted there",
    )  # fmt: skip
    parser.add_argument("--host", default=platform.node(), help=argparse.SUPPRESS)
    parser.add_argument("--by-server", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--made-from", default="", metavar="REF", help=argparse.SUPPRESS)
    parser.add_argument("--allow-unreadable", action="store_true", help="publish without what cannot be read")
    parser.add_argument(
        "--give-up", type=float, default=900.0, metavar="SECONDS",
        help="how long a server that does not answer is asked again (default 900)",
    )  # fmt: skip
    known = argparse.Namespace(certificate=os.environ.pop(CERTIFICATE, ""))
    options = parser.parse_args(arguments, known)
    if options.by_server:
        row = row_from_environment("bootsrv image capture")
        options.token, options.certificate = str(row.get("token") or ""), str(row.get("certificate") or "")
    if not options.token:
        parser.error(f"give --token, or ${TOKEN}: `bootsrv image capture --token` on the server makes one")
    if not str(options.server).startswith(("http://", "https://")):
        parser.error(f"--server {options.server} is not an http:// address")
    try:
        check_patterns(options.exclude, files=True)
        check_patterns(options.exclude_update)
    except BadInput as error:
        parser.error(str(error))
    return options
