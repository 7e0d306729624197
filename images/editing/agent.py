"""`image agent`: the agent service as part of an image, in its next version.

What lies in the image is the same for every machine and every server; imaging adds who the machine is and
whom it believes.
"""

from __future__ import annotations

from pathlib import Path

from images.agent import bundle
from images.agent.rootfs import Root
from images.agent.service import carried
from images.editing.edit import change_image
from images.errors import BadInput
from images.progress import Progress, silent
from images.store import ImageStore
from images.versions import Version

SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
PYTHON = "/usr/bin/python3"


def with_agent(store: ImageStore, ref: str, comment: str = "", progress: Progress = silent) -> Version | None:
    """The version that has it; None: `ref` has it already. Raises BadInput for an image that cannot run it,
    and as `edit_image`."""
    version = store.resolve(ref)
    if version.kind != "tree":
        raise BadInput(f"{version.ref} is a {version.kind} image: an agent can be put into files alone")

    def change(home: Path, tree: Path, version: Version) -> None:
        root = Root(tree)
        try:
            put(root, version.ref)
        finally:
            root.close()

    note = comment or f"{version.ref} with the agent service"
    return change_image(store, version.ref, change, note, progress)


def program() -> bytes:
    """The service as one file that Python runs."""
    return bundle.archive(carried.START, {"__main__.py": carried.MAIN})


def put(root: Root, ref: str) -> None:
    """Writes what differs. Raises BadInput when nothing there could run it."""
    if not any(root.exists(path) for path in SYSTEMD):
        raise BadInput(f"{ref} has no systemd, which the agent service needs: push to it over SSH")
    if not root.exists(PYTHON):
        raise BadInput(f"{ref} has no {PYTHON}: install python3 into it (`bootsrv image edit`)")
    for path, data in carried.files(program()).items():
        if root.read(path) != data:
            root.write(path, data, 0o644)
    if not root.is_link(carried.WANTS):
        root.link(carried.WANTS, carried.TARGET)
