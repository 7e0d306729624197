"""The patch set between two versions: made once, kept, served to every node that goes from one to the other.

A patch is a zstd frame with the old file as its prefix; where no old file helps, it is the file by itself,
whose chunks lie among others that nobody needs. Files that are zstd themselves (an initramfs) are looked
into, one at a time, since what is in two of them and the compressor's tables take some 500 MB while it lasts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import zstandard

from images import repack
from images.compress import zstd_frame
from images.disk import write_file
from images.errors import BadInput
from images.locator import Locator
from images.manifest import Entry, to_text
from images.patchset import HEAD, MAGIC
from images.progress import Progress, silent
from images.push.match import Pair, pairs
from images.store import ImageStore

LEVEL = 9
WORTH = 0.95  # a patch must be this much smaller than the file by itself
THREADS = 2
PACKED, UNPACKED = 256 << 10, 192 << 20  # bytes: which zstd files are looked into
Made = tuple[bytes, repack.Recipe | None, bool]  # frame, how to pack again, whether it needs no old file
_ONE_AT_A_TIME = Lock()  # what is in an initramfs is large
KEPT = 16  # sets kept in the folder


@dataclass(frozen=True, slots=True)
class PatchSet:
    """`id` names it to nodes; `files` it makes; `bytes` of its file; `spared` bytes of chunks."""

    id: str
    path: Path
    files: int
    bytes: int
    spared: int


def patch_set(
    store: ImageStore, old: str, new: str, folder: Path, progress: Progress = silent, level: int = LEVEL
) -> PatchSet:
    """The set from manifest `old` to manifest `new` (hex ids); made when `folder` has none. Raises
    ImageError, OSError.
    """
    id = hashlib.sha256(f"{old} {new} {level}".encode()).hexdigest()[:40]
    path, note = folder / id, folder / f"{id}.json"
    try:
        files, size, spared = json.loads(note.read_bytes())
        if path.stat().st_size == size:
            os.utime(path)
            return PatchSet(id, path, files, size, spared)
    except (FileNotFoundError, ValueError):
        pass  # there is none, or not all of it: made now
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    made = _Maker(store, old, new, level)
    data, files = made.build(progress)
    write_file(path, data, mode=0o640)
    write_file(note, json.dumps([files, len(data), made.spared]).encode(), mode=0o640)
    _tidy(folder)
    return PatchSet(id, path, files, len(data), made.spared)


class _Maker:
    def __init__(self, store: ImageStore, old: str, new: str, level: int) -> None:
        self._store, self._old, self._new, self._level = store, old, new, level
        self._locator = Locator.parse(store.locator(new))
        self.spared = 0

    def build(self, progress: Progress) -> tuple[bytes, int]:
        """The set's bytes and how many files it makes."""
        before = list(self._store.manifest(self._old).entries())
        known = {chunk.id for entry in before for chunk in entry.chunks}
        found = list(pairs(before, self._store.manifest(self._new).entries()))
        total, done = sum(entry.size for _, entry in found), 0
        rows: list[list[object]] = []
        frames: list[bytes] = []
        offset = 0
        for (old, new), (patch, recipe, plain) in self._patches(found):
            done += new.size
            progress(done, total, new.name)
            origin = to_text(old.path) if old is not None and not plain else ""
            row: list[object] = [to_text(new.path), origin, offset, len(patch)]
            rows.append([*row, list(recipe)] if recipe is not None else row)
            frames.append(patch)
            offset += len(patch)
            self.spared += self._cost(new, known)
        index = zstd_frame(json.dumps(rows, separators=(",", ":")).encode("ascii"), 9)
        return b"".join([HEAD.pack(MAGIC, len(index)), index, *frames]), len(rows)

    def _patches(self, found: list[Pair]) -> Iterator[tuple[Pair, Made]]:
        olds = self._files(self._old, [old for old, _ in found])
        news = self._files(self._new, [new for _, new in found])
        with ThreadPoolExecutor(THREADS) as pool:
            waiting: list[tuple[Pair, Future[Made]]] = []
            for pair in found:
                waiting.append((pair, pool.submit(_made, next(olds), next(news), self._level)))
                if len(waiting) > THREADS * 2:
                    one, future = waiting.pop(0)
                    yield one, future.result()
            for one, future in waiting:
                yield one, future.result()

    def _files(self, version: str, entries: Sequence[Entry | None]) -> Iterator[bytes]:
        ids = (chunk.id for entry in entries if entry is not None for chunk in entry.chunks)
        stream = self._store.source(version).stream(ids)
        for entry in entries:
            yield b"".join(next(stream) for _ in entry.chunks) if entry is not None else b""

    def _cost(self, entry: Entry, known: set[bytes]) -> int:
        """About what a node fetches for this file without a patch: its share of the frames."""
        cost = 0.0
        for chunk in entry.chunks:
            if chunk.id not in known:
                frame = self._locator.frame(self._locator.find(chunk.id).frame)
                cost += frame.stored * chunk.length / max(frame.raw, 1)
        return int(cost)


def _made(old: bytes, new: bytes, level: int) -> Made:
    """The patch; of two zstd files between what is in them, where the new one can be packed again exactly."""
    if len(new) > PACKED and new.startswith(repack.MAGIC) and old.startswith(repack.MAGIC):
        with suppress(BadInput), _ONE_AT_A_TIME:  # an old file that is no whole zstd file is patched as it is
            inside = b"".join(repack.unpacked(new))
            recipe = repack.find(new, inside) if len(inside) <= UNPACKED else None
            if recipe is not None:
                return _patch(b"".join(repack.unpacked(old)), inside, level), recipe, False
    whole = zstd_frame(new, level)
    patch = _patch(old, new, level) if old else whole
    return (patch, None, False) if len(patch) < len(whole) * WORTH else (whole, None, True)


def _patch(old: bytes, new: bytes, level: int) -> bytes:
    window = max(10, min(27, len(new).bit_length()))
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=window, enable_ldm=len(old) > 1 << 20, write_checksum=False, write_content_size=True
    )
    prefix = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=prefix, compression_params=parameters).compress(new)


def _tidy(folder: Path) -> None:
    """Old sets can be made again."""
    sets = [path for path in folder.iterdir() if path.suffix == ""]
    for path in sorted(sets, key=lambda one: one.stat().st_mtime)[:-KEPT]:
        for each in (path, path.with_suffix(".json")):
            with suppress(FileNotFoundError):
                each.unlink()
