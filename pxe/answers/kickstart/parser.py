"""Asks Anaconda's own parser, as its own process, what it says of a file. One process serves many files.

The law: a file that could not be checked is never called good. When the parser is not there or dies, that is
an error of ours with the repair named, not a finding about the file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType

from pxe.answers.errors import Finding
from pxe.errors import ParserFailed

_REPAIR = "run ./run setup, which installs pykickstart"


class KickstartParser:
    """`check` files; close it, or use it in a `with`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> KickstartParser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def check(self, text: str, version: str) -> list[Finding]:
        """Findings of the parser for a version as pykickstart names it ("RHEL9", "F42", "FC3"). Raises
        ParserFailed."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps({"version": version, "text": text}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError as error:
            answer = ""
            reason = str(error)
        else:
            reason = "it ended"
        if not answer:
            self.close()
            raise ParserFailed(f"the kickstart parser gave no answer ({reason}); {_REPAIR}")
        return [Finding(one["text"], line=one["line"], warning=one["warning"])
                for one in json.loads(answer)["findings"]]  # fmt: skip

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pxe.answers.kickstart.parser_process"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        return self._process
