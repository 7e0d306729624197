"""Whether an image can boot from a disk: the rule by which the node's boot menu finds its kernel. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from images.agent.grubcfg import kernels_among

if TYPE_CHECKING:
    from images.manifest import Entry


def has_kernel(entries: Iterable[Entry]) -> bool:
    """Entries of a manifest, in its order. Stops at the first kernel."""
    folder = b"boot/"
    for entry in entries:
        name = entry.path[len(folder) :] if entry.path.startswith(folder) else b""
        if name and b"/" not in name and kernels_among([name.decode("utf-8", "replace")]):
            return True
    return False
