"""The errors of this room. Each names the thing (image, chunk id, path) and, where there is one, the repair.

Runs on nodes as well: Python 3.8, standard library only.
"""

from __future__ import annotations


class ImageError(Exception):
    """Root of what this room raises on purpose; the text is one line for a person."""


class ImageNotFound(ImageError):
    """No image, version or tag of that name."""


class ImageConflict(ImageError):
    """The name is taken, or the version is in use."""


class BadInput(ImageError):
    """What was to be imported or deployed cannot be used (no root in it, damaged archive, disk too small)."""


class ChunkMissing(ImageError):
    """The store has no chunk of that id. `chunk`: it, where one is meant."""

    def __init__(self, text: str, chunk: bytes = b"") -> None:
        super().__init__(text)
        self.chunk = chunk


class ChunkCorrupt(ImageError):
    """A chunk's bytes do not hash to its id. `chunk`: that id, `pack`: hex; both empty where not known."""

    def __init__(self, text: str, chunk: bytes = b"", pack: str = "") -> None:
        super().__init__(text)
        self.chunk, self.pack = chunk, pack


class SignatureInvalid(ImageError):
    """A manifest is not signed by the appliance's key."""
