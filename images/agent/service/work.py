"""Carries out one order: the one-file agent, as the server gives it now and as the order names it, run as a
process of its own, just as over SSH. Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, Optional

from images.agent.service.order import Order
from images.agent.service.place import Server
from images.agent.update.task import VARIABLE, pack

Hear = Callable[[Dict[str, Any]], None]


def task_of(order: Order, server: Server) -> Dict[str, Any]:
    """The order's task with what is secret to this machine, and with whom it believes."""
    return {
        **order.task, "url": server.url, "certificate": server.certificate, "pin": server.pin,
        "token": server.token, "key": server.key.hex(),
    }  # fmt: skip


def carry_out(order: Order, server: Server, script: bytes, hear: Hear) -> Dict[str, Any]:
    """Each line that the agent prints goes to `hear`; how it ended: {"code", "error"}."""
    task = pack(task_of(order, server))
    start = f'import os\nos.environ["{VARIABLE}"] = "{task}"\n'.encode()
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as errors:
        source.write(start + script)
        source.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-", order.command],
            stdin=source, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        assert process.stdout is not None
        last: Dict[str, Any] = {}
        for line in process.stdout:
            said = _object(line)
            if said is not None:
                last = said
                hear(said)
        code = process.wait()
        errors.seek(0)
        words = errors.read().decode("utf-8", "replace").strip().splitlines()
    if not code and last:
        return {"code": 0, "error": ""}
    why = str(last.get("error") or "") or (words[-1] if words else f"exit code {code}")
    return {"code": code or 1, "error": why}


def _object(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
