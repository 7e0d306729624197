"""Out of the store as a squashfs, for live media and diskless roots: a tar stream through tar2sqfs, no root.

squashfs itself keeps whole seconds, no sockets, and of extended attributes user, trusted and security, so no
ACLs (system.*): what is left out is counted and told (losses.py).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from images.errors import BadInput, ImageConflict, ImageError
from images.exporting.folder import private
from images.exporting.losses import SQUASHFS
from images.exporting.to_tar import export_tar
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written


def export_squashfs(
    store: ImageStore, ref: str, target: Path, progress: Progress = silent, level: int | None = None
) -> Written:
    """Write a version to the file `target`, which appears when it is complete. `level` is zstd's; None: the
    tool's own choice.

    Raises ImageConflict, ImageNotFound, BadInput, ImageError with what the tool said, OSError.
    """
    if shutil.which("tar2sqfs") is None:
        raise BadInput("tar2sqfs is missing on this machine; install the package squashfs-tools-ng")
    if target.exists():
        raise ImageConflict(f"{target} is there already")
    temp = target.with_name(f".{target.name}.tmp")
    command = ["tar2sqfs", "--quiet", "--force", "--no-skip", "--compressor", "zstd"]
    command += [*(["--comp-extra", f"level={level}"] if level is not None else []), str(temp)]
    try:
        private(temp).close()  # the tool writes over it
        with tempfile.TemporaryFile() as said:
            tool = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said)
            assert tool.stdin is not None
            broken = False
            try:
                with tool.stdin as pipe:
                    written = export_tar(store, ref, cast("BinaryIO", pipe), progress, SQUASHFS)
            except BrokenPipeError:
                broken = True  # it gave up: its own words say why
            except BaseException:
                tool.kill()
                raise
            finally:
                status = tool.wait()
            if status or broken:
                said.seek(0)
                words = said.read()[-300:].decode("utf-8", "replace").strip()
                free = shutil.disk_usage(temp.parent).free >> 20  # of a full disk it says "I/O error" alone
                raise ImageError(f"tar2sqfs failed: {words} ({temp.parent} has {free} MiB free)")
        temp.rename(target)
    finally:
        temp.unlink(missing_ok=True)
    return written
