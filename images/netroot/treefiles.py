"""Single files of a version, read through the store: nothing else of it is unpacked.

Links are not followed, with one exception: a file's further names (hard links) are the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from images.errors import ImageNotFound
from images.exporting.trees import tree_of
from images.manifest import Entry
from images.store import ImageStore


def files_below(entries: Iterable[Entry], folders: Iterable[str]) -> Iterator[tuple[str, Entry]]:
    """Path without leading slash and entry of each regular file below some directories, in the manifest's
    order. A further name of a file comes as the hard link that it is. `folders`: without slashes at their
    ends.
    """
    below = tuple(f"{folder}/".encode() for folder in folders)
    others: set[bytes] = set()  # what has further names, too, and is no regular file
    for entry in entries:
        if entry.type not in ("file", "hardlink", "dir"):
            others.add(entry.path)
        elif entry.type != "dir" and entry.path.startswith(below) and entry.target not in others:
            yield entry.path.decode("utf-8", "surrogateescape"), entry


class TreeFiles:
    """The regular files below some directories of a version."""

    def __init__(self, store: ImageStore, ref: str, folders: Iterable[str]) -> None:
        """`folders` as of `files_below`. Raises BadInput for a disk, or as `ImageStore.manifest`."""
        tree = tree_of(store, ref)
        self._source = store.source(ref)
        found = dict(files_below(tree.entries(), folders))
        targets = {entry.target for entry in found.values() if entry.type == "hardlink"}
        # Seldom any, and their files may lie anywhere.
        first = {entry.path: entry for entry in tree.entries() if entry.path in targets} if targets else {}
        self._entries = {  # in the manifest's order
            name: first[entry.target] if entry.type == "hardlink" else entry for name, entry in found.items()
        }

    @property
    def names(self) -> list[str]:
        """Paths without leading slash, in the manifest's order."""
        return list(self._entries)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of each, in the manifest's order. Raises ImageNotFound, or as
        `PackSource.stream`."""
        wanted = set(names)
        if missing := wanted - self._entries.keys():
            raise ImageNotFound(f"/{min(missing)} is not a file of this image")
        chosen = [(name, entry) for name, entry in self._entries.items() if name in wanted]
        stream = self._source.stream(chunk.id for _, entry in chosen for chunk in entry.chunks)
        for name, entry in chosen:
            yield name, _whole(entry, b"".join(next(stream) for _ in entry.chunks))

    def one(self, name: str) -> bytes:
        """The content of one."""
        return next(self.read([name]))[1]


def _whole(entry: Entry, data: bytes) -> bytes:
    """A file with holes has its zeros put back."""
    if entry.extents is None:
        return data
    whole, at = bytearray(entry.size), 0
    for offset, length in entry.extents:
        whole[offset : offset + length] = data[at : at + length]
        at += length
    return bytes(whole)
