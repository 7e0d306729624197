"""Build a recipe's root with mmdebstrap and import it while it is being packed: no unpacked copy, no
archive file.

Packages come from where this host's apt gets its own (mirror.py), checked against Debian's keys. The
version is published only after mmdebstrap ended well; its last error lines are what a person sees
otherwise.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from images.confined import confined, end
from images.errors import BadInput, ImageError
from images.importing import recipe_hook
from images.importing.from_tar import TarReader
from images.importing.intake import Intake
from images.importing.recipe import Recipe, load
from images.importing.streams import Peeked
from images.mirror import KEYRING, host_mirrors, signed_suites, sources
from images.progress import Progress, silent
from images.store import ImageStore
from images.versions import Version
from images.workplace import workplace

# What mmdebstrap itself says; lines that begin with a path are those of package scripts.
_STEP = re.compile(r"I: (?!/)(.*?)(?:\.\.\.)?\s*\Z")
_HOOK = re.compile(r"running --customize-hook .*")  # it names temporary files


def import_recipe(
    store: ImageStore,
    name: str,
    recipe: str | Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Version:
    """Build `recipe` (a name, or a file of your own) as the next version of `name`.

    Takes one to three minutes and about three times the root's size in the temporary directory. Raises
    BadInput, ImageNotFound, ImageError with what mmdebstrap said.
    """
    wanted = load(recipe)
    for tool in ("mmdebstrap", "apt-get"):
        if shutil.which(tool) is None:
            raise BadInput(f"{tool} is missing on this machine; install the package {tool.partition('-')[0]}")
    if os.geteuid() != 0:
        raise BadInput("building a recipe needs root; run it as root (sudo)")
    if not signed_suites([wanted.suite]):
        raise BadInput(f"this host has no key for {wanted.suite}; update debian-archive-keyring")
    facts = {"recipe": wanted.name, "suite": wanted.suite, "kernel_args": wanted.kernel_args, **(meta or {})}
    with workplace("recipe", Path(tempfile.gettempdir())) as folder, Intake(store, progress) as intake:
        folder.chmod(0o711)  # apt's own user works in a root below it
        with _Build(command(wanted, folder), folder, intake) as build:
            TarReader(intake).read(Peeked(build.output), f"the root of recipe {wanted.name}")
        return intake.publish(name, comment or wanted.description, facts)


def command(recipe: Recipe, folder: Path) -> list[str]:
    """mmdebstrap's argument list; the hook's instructions are written into `folder`."""
    spec, hook = folder / "spec.json", folder / "hook"
    files = {where: asdict(file) for where, file in recipe.files.items()}
    spec.touch(0o600)
    spec.write_text(json.dumps({"files": files, "run": recipe.run}), "utf-8")
    # mmdebstrap runs a hook without a shell when it is an executable file; it gets the root as its argument.
    words = [sys.executable, str(Path(recipe_hook.__file__)), str(spec)]
    hook.write_text(
        f"#!{sys.executable}\nimport os, sys\nos.execv({words[0]!r}, [*{words!r}, *sys.argv[1:]])\n", "utf-8"
    )
    hook.chmod(0o700)
    components = " ".join(recipe.components or ("main",))
    out = ["mmdebstrap", "--verbose", f"--variant={recipe.variant}", "--format=tar", f"--keyring={KEYRING}"]
    out += [f"--include={','.join(recipe.packages)}", f"--customize-hook={hook}"]
    out += [f"--dpkgopt=path-exclude={path}" for path in recipe.leave_out]
    return [*out, recipe.suite, "-", *sources(recipe.suite, host_mirrors(), components)]


class _Build:
    """mmdebstrap at work: its output, and its own words kept and turned into progress."""

    def __init__(self, arguments: list[str], folder: Path, intake: Intake) -> None:
        self._arguments = arguments
        self._folder = folder
        self._intake = intake
        self._said: deque[str] = deque(maxlen=40)

    def __enter__(self) -> _Build:
        # Its own session, because when its output fails mmdebstrap hangs up on its whole process group. Asked
        # to end it would go on for minutes, so it is killed: its mounts end with it, its root is our own.
        arguments = confined(self._arguments, "--mount-proc")
        pipe = subprocess.PIPE
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(self._folder)}
        self._process = subprocess.Popen(
            arguments,
            stdout=pipe,
            stderr=pipe,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.output = self._process.stdout
        self._listener = threading.Thread(target=self._listen, name="mmdebstrap", daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raises ImageError when mmdebstrap failed, whatever reading its broken output had raised before."""
        if kind is not None and not issubclass(kind, BadInput):
            end(self._process)
        self.output.close()
        status = self._process.wait()
        self._listener.join()
        if status and (kind is None or issubclass(kind, BadInput)):
            told = [line for line in self._said if line.startswith(("E:", "W:", "dpkg:"))] or list(self._said)
            raise ImageError(f"mmdebstrap failed ({status}): {' | '.join(told[-4:])}") from error

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.decode("utf-8", "replace").strip()
            self._said.append(line)
            step = _STEP.match(line)
            if step:
                self._intake.tell(_HOOK.sub("files and commands of the recipe", step[1]))
