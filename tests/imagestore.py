"""Small stores for tests, built without a file system tree."""

from __future__ import annotations

import io
import random
from pathlib import Path

from images.manifest import Entry
from images.store import ImageStore
from images.versions import Version

ROOT = Entry(b"", "dir", mode=0o755)


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not compress, the same every time."""
    return random.Random(seed).randbytes(size)


def publish(store: ImageStore, name: str, files: dict[str, bytes], comment: str = "") -> Version:
    """One version with these files in /."""
    with store.writer() as writer:
        writer.tree.add(ROOT)
        for path, data in files.items():
            chunks = writer.put_stream(io.BytesIO(data).read)
            writer.tree.add(Entry(path.encode(), "file", mode=0o644, size=len(data), chunks=chunks))
        return writer.publish(name, comment)


def contents(store: ImageStore, ref: str) -> dict[str, bytes]:
    """What `publish` was given, read back through manifest, locator and packs."""
    manifest = store.manifest(ref)
    stream = store.source(ref).stream(chunk.id for chunk in manifest.chunks())
    return {
        entry.path.decode(): b"".join(next(stream) for _ in entry.chunks)
        for entry in manifest.entries()
        if entry.type == "file"
    }


def make(root: Path) -> ImageStore:
    """A store at `root`."""
    return ImageStore.open(root / "store")
