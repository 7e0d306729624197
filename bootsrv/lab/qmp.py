"""QEMU's monitor protocol: one JSON object a line over a Unix socket (QEMU's docs/interop/qmp-spec)."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from bootsrv.lab.errors import LabError


def execute(
    path: Path, command: str, arguments: Mapping[str, Any] | None = None, timeout: float = 5.0
) -> Any:
    """Run one monitor command and return its answer.

    Raises LabError when QEMU refuses it, OSError when nobody listens at `path` (the machine is off).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        with connection.makefile("rwb") as stream:
            stream.readline()  # the greeting
            _ask(stream, {"execute": "qmp_capabilities"})
            return _ask(stream, {"execute": command, "arguments": dict(arguments or {})})


def _ask(stream: Any, request: Mapping[str, Any]) -> Any:
    stream.write(json.dumps(request).encode() + b"\n")
    stream.flush()
    for line in stream:
        answer = cast(dict[str, Any], json.loads(line))
        if "error" in answer:
            raise LabError(f"QEMU refused {request['execute']}: {answer['error'].get('desc')}")
        if "return" in answer:
            return answer["return"]
        # anything else is an event
    if request["execute"] == "quit":
        return {}
    raise LabError(f"QEMU closed its monitor during {request['execute']}")
