"""A command as process 1 of mounts and processes of its own: when it ends, all that it started ends with it.

Law: whatever ends our process, kill -9 too, ends that one at once, and the host never sees its mounts.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def confined(command: Sequence[str], *options: str) -> list[str]:
    """The argument list; `options` are unshare's."""
    words = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "--pid", *options]
    return [*words, "--fork", "--kill-child=KILL", "--", *command]


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends what was started by `confined` words; returns when nothing of it runs or is mounted any more.

    Process 1 is killed, not unshare: unshare waits for it, and the kernel lets process 1 be waited for only
    after all others of its namespace have ended.
    """
    if process.poll() is None:
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        inside = [int(word) for word in first.read_text().split()] if first.exists() else []
        for pid in inside:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
        if not inside:  # not started yet; the kernel kills it then
            process.kill()
    process.wait()
