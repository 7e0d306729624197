"""What an update is asked to do, checked once. Python 3.8, standard library only."""

from __future__ import annotations

import base64
import json
import os
from typing import Any, Callable, Dict, NamedTuple, Optional

from images.errors import BadInput

VARIABLE = (
    "BOOTSRV_TASK"  # in the environment, not on the command line, which every user of the node can read
)
Say = Callable[[Dict[str, Any]], None]  # one line of JSON to whoever asked


class Task(NamedTuple):
    """`url` http://HOST:PORT and `token` open the store; `key` the store's public key in hex; `base` the
    version that the server believes this machine is; `patches` id of a patch set; `confirm` minutes, 0 for
    none.
    """

    url: str
    token: str
    key: bytes
    ref: str
    manifest: str
    base: Optional[str] = None
    patches: Optional[str] = None
    confirm: float = 0
    reboot: bool = False
    checksum: bool = False
    certificate: str = ""  # the server's, where `url` is https
    pin: str = ""  # and its key, as curl pins it


def parse_task(row: Dict[str, Any]) -> Task:
    """Raises BadInput naming the field."""
    try:
        return Task(
            str(row["url"]), str(row["token"]), bytes.fromhex(row["key"]), str(row["ref"]),
            str(row["manifest"]), row.get("base"), row.get("patches"), float(row.get("confirm") or 0),
            bool(row.get("reboot")), bool(row.get("checksum")), str(row.get("certificate") or ""),
            str(row.get("pin") or ""),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"update task: {error!r}") from error


def from_environment() -> Task:
    """The task that the server put before the agent."""
    return parse_task(row_from_environment("bootsrv push"))


def row_from_environment(verb: str) -> Dict[str, Any]:
    """The same, unchecked. Raises BadInput, which names the server's `verb`, when there is none."""
    text = os.environ.pop(VARIABLE, "")
    try:
        row = json.loads(base64.b64decode(text))
    except ValueError as error:
        raise BadInput(f"{VARIABLE}: not a task") from error
    if not isinstance(row, dict):
        raise BadInput(f"this command is for the server to start: use `{verb}` there")
    return row


def pack(row: Dict[str, Any]) -> str:
    """The inverse of `from_environment`, for the server."""
    return base64.b64encode(json.dumps(row).encode()).decode("ascii")
