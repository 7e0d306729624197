"""Import a squashfs: sqfs2tar reads it, no root and no mount needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.importing.from_tar import TarReader
from images.importing.intake import Intake
from images.importing.streams import Peeked
from images.importing.tool import Tool
from images.progress import Progress, silent
from images.store import ImageStore
from images.versions import Version

MAGIC = b"hsqs"


def import_squashfs(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Version:
    """Make the file system in `source` the next version of `name`. Raises BadInput, OSError."""
    with Intake(store, progress) as intake:
        command = ["sqfs2tar", "--root-becomes", ".", str(source)]
        with Tool(command, "squashfs-tools-ng") as tool:
            TarReader(intake, plain=True).read(Peeked(tool.output), str(source))
        return intake.publish(name, comment, meta)
