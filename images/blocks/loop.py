"""A part of a file as a block device, for as long as somebody holds it.

Law: the device goes with its last user, however that one ends (autoclear): nothing is left to clean up.
Linux 5.8 and up, root.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from types import TracebackType

CONTROL, GET_FREE, CONFIGURE = "/dev/loop-control", 0x4C82, 0x4C0A  # linux/loop.h
AUTOCLEAR = 4
# struct loop_config: fd, block size; loop_info64 with offset and size limit at its 4th and 5th place, flags
# at its 9th; reserved.
_CONFIG = struct.Struct("=II 3Q QQ 3I I 160x 2Q 64x")
TRIES = 20  # somebody else may take the free number first


class Loop:
    """`size` bytes at `start` of a file that is open for writing. Use as a context manager."""

    def __init__(self, file: int, start: int, size: int) -> None:
        """Raises OSError: no loop devices here, or none free."""
        config = _CONFIG.pack(file, 0, 0, 0, 0, start, size, 0, 0, 0, AUTOCLEAR, 0, 0)
        for left in reversed(range(TRIES)):
            self.path = f"/dev/loop{_free()}"
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(self._fd, CONFIGURE, config)
                return
            except OSError as error:
                os.close(self._fd)
                if error.errno != errno.EBUSY or not left:
                    error.filename = self.path
                    raise

    def __enter__(self) -> Loop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def _free() -> int:
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number: int = fcntl.ioctl(control, GET_FREE)
    finally:
        os.close(control)
    return number


def attached(file: Path) -> list[str]:
    """Names of the loop devices over `file`, for those who check that none is left."""
    rows = Path("/sys/block").glob("loop*/loop/backing_file")
    return [f"/dev/{row.parent.parent.name}" for row in rows if row.read_text().strip() == str(file)]
