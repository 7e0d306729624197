"""Whether a virtual machine's disk is whole, before anything is taken from it: what is missing of a file that
was cut off reads as zeros.

`qemu-img check` knows of most forms; of vdi it believes the table, so its file's length is counted here.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from images.errors import BadInput

_GOOD = (0, 3, 63)  # qemu-img(1): consistent; only leaks; a form that cannot be checked


def check_whole(path: Path, kind: str) -> None:
    """Raises BadInput when the image is damaged or cut off, OSError."""
    command = ["qemu-img", "check", "-q", "-f", kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode not in _GOOD:
        said = " ".join((done.stderr.strip() or done.stdout.strip())[-200:].split())
        raise BadInput(
            f"{path} is damaged or cut off: copy it again, or see `qemu-img check -f {kind} {path}`, and"
            f" -r all when there is no other copy. It says: {said}"
        )
    if kind == "vdi":
        missing = _vdi_end(path) - path.stat().st_size
        if missing > 0:
            raise BadInput(f"{path} is cut off: {missing / (1 << 20):.1f} MiB are missing; copy it again")


def _vdi_end(path: Path) -> int:
    """Where the last block that is allocated ends; see VBox/Storage/VDICore.h."""
    with path.open("rb") as file:
        head = file.read(512)
    (data,) = struct.unpack_from("<I", head, 0x158)
    block, extra, _, allocated = struct.unpack_from("<4I", head, 0x178)
    return int(data + (block + extra) * allocated)
