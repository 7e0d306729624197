"""`image edit`: write a version out, run a command in it, publish what became of it as the next version.

Law: when the command fails, or anything breaks or is killed, nothing is published and nothing stays mounted:
mounts live in a namespace that ends with the command's process. The copy that kill -9 leaves is swept by the
next edit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from images.confined import confined, end
from images.editing import room
from images.errors import BadInput, ImageError
from images.exporting.to_directory import export_directory
from images.importing.from_directory import take_tree
from images.importing.intake import Intake
from images.manifest import write_entry
from images.progress import Progress, silent
from images.sealed import SealedManifest
from images.spool import Spool
from images.store import ImageStore
from images.versions import Version
from images.workplace import workplace

_LOOKED_UP = ("os_release", "kernels", "architecture", "warnings")  # facts that the new tree tells itself
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("TERM", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def edit_image(
    store: ImageStore,
    ref: str,
    command: Sequence[str],
    comment: str = "",
    progress: Progress = silent,
    folder: Path = Path("/var/tmp"),  # noqa: S108 - large, and private to us (workplace.py)
) -> Version | None:
    """Run `command` (an interactive shell when empty) in a copy of `ref` and publish it as the next version.

    The version that was edited is its parent. None: nothing changed. Needs root, and room for the tree in
    `folder`. Raises ImageNotFound, BadInput, ImageError when the command failed, OSError.
    """

    def change(home: Path, root: Path, version: Version) -> None:
        status = _run(home, root, version.name, command)
        if status:
            said = command[0] if command else "the shell"
            raise ImageError(f"{said} {_ended(status)}; nothing was published")

    if os.geteuid() != 0:
        raise BadInput("editing an image needs root; run it as root (sudo)")
    version = store.resolve(ref)
    # Its arguments may hold a password, and a comment stays for as long as its version.
    by = f"with {Path(command[0]).name}" if command else "in a shell"
    note = comment or f"edited {version.ref} {by}"
    return change_image(store, version.ref, change, note, progress, folder)


def change_image(
    store: ImageStore,
    ref: str,
    change: Callable[[Path, Path, Version], None],
    comment: str,
    progress: Progress = silent,
    folder: Path = Path("/var/tmp"),  # noqa: S108 - as above
) -> Version | None:
    """The same by a function, which gets a directory for itself, the tree below it, and the version. When it
    raises, nothing is published."""
    if os.geteuid() != 0:
        raise BadInput("editing an image needs root; run it as root (sudo)")
    version = store.resolve(ref)
    if version.kind != "tree":
        raise BadInput(f"{version.ref} is a {version.kind} image: only images of files can be edited")
    with workplace("edit", folder) as home:
        root = home / "root"
        export_directory(store, version.id, root, progress)
        change(home, root, version)
        facts = {key: value for key, value in version.meta.items() if key not in _LOOKED_UP}
        with Intake(store, progress) as intake:
            take_tree(intake, root, ())
            if _same(store.manifest(version.id), intake.tree):
                return None
            return intake.publish(version.name, comment, facts, version.id)


def _run(home: Path, root: Path, name: str, command: Sequence[str]) -> int:
    """The command's exit status."""
    spec = home / "spec.json"
    row = {"host": name, "command": list(command), "environment": _environment(bool(command))}
    spec.write_text(json.dumps(row), "utf-8")
    words = [sys.executable, "-I", str(room.__file__), str(spec), str(root)]
    process = subprocess.Popen(confined(words, "--uts", "--ipc"))
    try:
        return process.wait()
    except BaseException:  # before the tree is removed nothing may work in it any more
        end(process)
        raise


def _ended(status: int) -> str:
    with suppress(ValueError):
        return f"was ended by {signal.Signals(status - room.BY_SIGNAL).name}"
    return f"ended with {status}"


def _environment(unattended: bool) -> Mapping[str, str]:
    given = {key: os.environ[key] for key in _KEPT if key in os.environ}
    quiet = {"DEBIAN_FRONTEND": "noninteractive"} if unattended else {}
    return {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **given, **quiet}


def _same(manifest: SealedManifest, tree: Spool) -> bool:
    old = (write_entry(entry).rstrip(b"\n") for entry in manifest.entries())
    return all(a == b.rstrip(b"\n") for a, b in zip_longest(old, tree.lines(), fillvalue=b""))
