"""Import an ISO image: the root file system in it (a live medium's squashfs), or the root that it is.

bsdtar reads ISO 9660 with Rock Ridge, so owners, modes and links are kept; nothing is mounted.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.importing.from_squashfs import import_squashfs
from images.importing.from_tar import TarReader
from images.importing.intake import Intake
from images.importing.streams import Peeked
from images.importing.tool import Tool
from images.progress import Progress, silent
from images.store import ImageStore
from images.versions import Version
from images.workplace import workplace

MAGIC, PLACE = b"CD001", 32769
_LIVE = re.compile(r"(\./)?(live|casper|LiveOS|arch/x86_64)/[^/]+\.(squashfs|img|sfs)\Z", re.IGNORECASE)
_PACKAGE = "libarchive-tools"


def import_iso(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Version:
    """Make the root in `source` the next version of `name`. Raises BadInput, OSError."""
    with Tool(["bsdtar", "-tf", str(source)], _PACKAGE) as tool:
        names = tool.output.read().decode("utf-8", "surrogateescape").splitlines()
    live = next((one for one in names if _LIVE.match(one)), None)
    if live is not None:
        with workplace("iso", Path(tempfile.gettempdir())) as folder:
            inner = folder / "root.squashfs"
            with inner.open("wb") as file, Tool(["bsdtar", "-xOf", str(source), live], _PACKAGE) as tool:
                progress(0, None, live)
                shutil.copyfileobj(tool.output, file, 1 << 20)
            return import_squashfs(store, name, inner, comment, meta, progress)
    with Intake(store, progress) as intake:
        with Tool(["bsdtar", "-cf", "-", "--format=pax", f"@{source}"], _PACKAGE) as tool:
            TarReader(intake).read(Peeked(tool.output), str(source))
        return intake.publish(name, comment, meta)
