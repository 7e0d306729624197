"""Blanks and their like in tables of mounts, swaps and exports: a backslash and three octal digits (proc(5),
fstab(5), exports(5)). Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"\\([0-7]{3})")


def plain(field: str) -> str:
    """The field as it is meant."""
    return _CODE.sub(lambda digits: chr(int(digits[1], 8)), field)
