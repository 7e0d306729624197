"""Binary patches on this machine: a new file from an old one and few bytes.

A patch is a zstd frame made with the old file as prefix (`zstd --patch-from`); a patch set is magic, the
length of a zstd frame, that frame (rows of new path, old path, offset, length), then the patches in manifest
order. Law: a patch is only ever a shorter way: supply.py hashes what comes out and fetches what is wrong.
Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Dict, List, NamedTuple, Optional

from images.agent.client import Client
from images.agent.update.folders import Folders
from images.agent.update.supply import Patched
from images.errors import BadInput
from images.manifest import Entry, to_bytes
from images.patchset import HEAD, MAGIC, rows
from images.zstd import decompress_stream

AHEAD = 4 << 20  # bytes fetched at once


class Patch(NamedTuple):
    """Where it lies in the set, and the old file it starts from."""

    old: bytes
    offset: int
    length: int


class PatchSet:
    """The patches that the server has for this update; none when `id` is None."""

    def __init__(self, client: Client, id: Optional[str], tree: Folders, base: Mapping[bytes, bytes]) -> None:
        self._client, self._id, self._tree, self._base = client, id, tree, base
        self._wanted: List[Patch] = []
        self._held, self._at = b"", 0
        self.fetched = 0  # bytes

    def makers(self, entries: Sequence[Entry]) -> Dict[bytes, Patched]:
        """How to make each of `entries` that has a patch and whose old file is here."""
        found = self._index() if self._id is not None and entries else {}
        made: Dict[bytes, Patched] = {}
        for entry in entries:
            patch = found.get(entry.path)
            if patch is not None and self._tree.stat(patch.old) is not None:
                self._wanted.append(patch)
                made[entry.path] = self._maker(patch)
        return made

    def _index(self) -> Dict[bytes, Patch]:
        head = self._range(0, HEAD.size)
        magic, length = HEAD.unpack(head)
        if magic != MAGIC:
            raise BadInput("patch set: not one")
        start = HEAD.size + length
        listed = rows(self._range(HEAD.size, length))
        return {to_bytes(new): Patch(to_bytes(old), start + at, size) for new, old, at, size in listed}

    def _maker(self, patch: Patch) -> Patched:
        def make(entry: Entry) -> Iterator[bytes]:
            handle = self._tree.open_file(patch.old)
            try:
                size = os.fstat(handle).st_size
                if not size:
                    raise BadInput(f"{entry.name}: its old file is empty")
                with contextlib.closing(mmap.mmap(handle, size, access=mmap.ACCESS_COPY)) as old:
                    yield from decompress_stream([self._frame(patch)], prefix=old)
            finally:
                os.close(handle)

        return make

    def _frame(self, patch: Patch) -> bytes:
        """The patch's bytes; those that follow it and are wanted too come along."""
        begin = patch.offset - self._at
        if begin < 0 or begin + patch.length > len(self._held):
            end = patch.offset + patch.length
            for other in self._wanted:
                if other.offset == end and end + other.length - patch.offset <= AHEAD:
                    end += other.length
            self._held, self._at = self._range(patch.offset, end - patch.offset), patch.offset
            begin = 0
        return self._held[begin : begin + patch.length]

    def _range(self, start: int, length: int) -> bytes:
        data = self._client.get_range(f"/store/patches/{self._id}", start, length)
        self.fetched += len(data)
        return data
