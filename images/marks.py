"""Which packs gc wants gone: a file each in the folder `condemned`, named by the pack (condemned.py)."""

from __future__ import annotations

from pathlib import Path


def marked(folder: Path) -> dict[bytes, float]:
    """Raw pack id -> when it was marked (epoch seconds)."""
    marks = [path for path in folder.iterdir() if path.suffix == ""]
    return {bytes.fromhex(path.name): path.stat().st_mtime for path in marks}
