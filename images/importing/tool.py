"""A tool of this machine whose output is an archive: started, read while it works, and judged by its end."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import IO

from images.errors import BadInput, ImageError


class Tool:
    """`output` is what it writes; leaving the context waits for it. `package` is who brings it."""

    def __init__(self, command: Sequence[str], package: str) -> None:
        if shutil.which(command[0]) is None:
            raise BadInput(f"{command[0]} is missing on this machine; install the package {package}")
        self._name = command[0]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the context
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        assert self._process.stdout is not None
        self.output: IO[bytes] = self._process.stdout

    def __enter__(self) -> Tool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises BadInput when the tool failed, whatever reading its broken output had raised before."""
        if kind is not None and not issubclass(kind, ImageError):
            self._process.kill()
        self.output.close()
        status = self._process.wait()
        self._said.seek(0)
        said = self._said.read()[-300:].decode("utf-8", "replace").strip()
        self._said.close()
        if status > 0 and (kind is None or issubclass(kind, ImageError)):
            raise BadInput(f"{self._name} failed: {' '.join(said.split())}") from error
