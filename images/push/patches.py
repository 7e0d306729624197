"""The patch set between two versions: made once, kept, served to every node that goes from one to the other.

A patch is a zstd frame with the old file as its prefix; where no old file helps, it is the file by itself,
whose chunks lie among others that nobody needs. Files that are zstd themselves (an initramfs) are looked
into. The law: memory does not grow with the versions: small files are held a few at a time, large ones lie in
scratch files and are done one at a time.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import zstandard

from images import repack
from images.compress import zstd_frame
from images.disk import create, publish_file, temp_path, write_file
from images.errors import BadInput
from images.locator import Locator
from images.manifest import to_text
from images.patchset import HEAD, MAGIC
from images.progress import Progress, silent
from images.push.delta import frame, window_log
from images.push.match import File, Pair, pairs
from images.push.scratch import Scratch
from images.store import ImageStore

LEVEL = 9
WORTH = 0.95  # a patch must be this much smaller than the file by itself
THREADS = 2
SMALL = 2 << 20  # bytes of either file: up to here both are held in memory
WINDOW, CACHE = 1 << 20, 8 << 20  # bytes of packs at once, and of unpacked frames: they are on our own disk
HELD = 12 << 20  # bytes of small files that wait for their patch
PACKED, UNPACKED = 256 << 10, 192 << 20  # bytes: which zstd files are looked into
_ONE_AT_A_TIME = Lock()  # of the large ones
KEPT = 16  # sets kept in the folder


@dataclass(frozen=True, slots=True)
class PatchSet:
    """`id` names it to nodes; `files` it makes; `bytes` of its file; `spared` bytes of chunks."""

    id: str
    path: Path
    files: int
    bytes: int
    spared: int


class Made(NamedTuple):
    """A frame, how to pack what comes out of it again, and whether it needs no old file."""

    frame: bytes | Scratch
    recipe: repack.Recipe | None = None
    plain: bool = False


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
    made = _Maker(store, old, new, folder, level)
    files, size = made.build(path, progress)
    write_file(note, json.dumps([files, size, made.spared]).encode(), mode=0o640)
    _tidy(folder)
    return PatchSet(id, path, files, size, made.spared)


class _Maker:
    def __init__(self, store: ImageStore, old: str, new: str, folder: Path, level: int) -> None:
        self._store, self._old, self._new, self._folder, self._level = store, old, new, folder, level
        self._locator = Locator.parse(store.locator(new))
        self.spared = 0

    def build(self, path: Path, progress: Progress) -> tuple[int, int]:
        """Writes the set to `path`; how many files it makes, and its bytes."""
        found, known = pairs(
            self._store.manifest(self._old).entries(), self._store.manifest(self._new).entries()
        )
        with Scratch(self._folder, ()).file as frames:
            rows = self._frames(found, known, frames, progress)
            index = zstd_frame(json.dumps(rows, separators=(",", ":")).encode("ascii"), 9)
            frames.seek(0)
            return len(rows), _whole(path, HEAD.pack(MAGIC, len(index)) + index, frames)

    def _frames(
        self, found: list[Pair], known: set[bytes], out: BinaryIO, progress: Progress
    ) -> list[list[object]]:
        """Appends the frames; a row for each."""
        total, done, offset = sum(new.size for _, new in found), 0, 0
        rows: list[list[object]] = []
        for (old, new), made in self._patches(found):
            length = _append(out, made.frame)
            done += new.size
            progress(done, total, to_text(new.path))
            origin = to_text(old.path) if old is not None and not made.plain else ""
            row: list[object] = [to_text(new.path), origin, offset, length]
            rows.append([*row, list(made.recipe)] if made.recipe is not None else row)
            offset += length
            self.spared += self._cost(new, known)
        return rows

    def _patches(self, found: list[Pair]) -> Iterator[tuple[Pair, Made]]:
        olds = self._contents(self._old, [old for old, _ in found])
        news = self._contents(self._new, [new for _, new in found])
        waiting: deque[tuple[Pair, int, Future[Made]]] = deque()
        held = 0
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for pair in found:
                    old, new = next(olds), next(news)
                    size = sum(len(one) for one in (old, new) if isinstance(one, bytes))
                    waiting.append((pair, size, pool.submit(self._made, old, new)))
                    held += size
                    while len(waiting) > THREADS * 8 or (held > HELD and waiting):
                        one, size, future = waiting.popleft()
                        held -= size
                        yield one, future.result()
                while waiting:
                    one, _, future = waiting.popleft()
                    yield one, future.result()
            finally:
                for _, _, future in waiting:
                    future.cancel()

    def _contents(self, version: str, files: list[File | None]) -> Iterator[bytes | Scratch]:
        """Of each file its bytes, or a scratch where these are many."""
        ids = (id for file in files if file is not None for id in file.chunks())
        stream = self._store.source(version, WINDOW, CACHE).stream(ids)
        for file in files:
            pieces = (next(stream) for _ in file.chunks()) if file is not None else iter(())
            if file is not None and file.size > SMALL:
                yield Scratch(self._folder, pieces)
            else:
                yield b"".join(pieces)

    def _made(self, old: bytes | Scratch, new: bytes | Scratch) -> Made:
        if isinstance(old, bytes) and isinstance(new, bytes) and not _zstd_files(old, new):
            return _small(old, new, self._level)
        with _ONE_AT_A_TIME, ExitStack() as stack:
            before, after = (
                one if isinstance(one, Scratch) else Scratch(self._folder, [one]) for one in (old, new)
            )
            stack.callback(before.close)
            stack.callback(after.close)
            return self._inside(before, after) or self._large(before, after)

    def _large(self, old: Scratch, new: Scratch) -> Made:
        whole = frame(self._folder, None, new, self._level)
        if not old.size:
            return Made(whole, None, True)
        patch = frame(self._folder, old, new, self._level)
        better, other = (patch, whole) if patch.size < whole.size * WORTH else (whole, patch)
        other.close()
        return Made(better, None, better is whole)

    def _inside(self, old: Scratch, new: Scratch) -> Made | None:
        """Of two zstd files: a patch between what is in them, where the new one can be packed again exactly;
        None where that is not so. (An old file that is no whole zstd file is patched as it is.)
        """
        if not _zstd_files(old.data, new.data):
            return None
        with ExitStack() as stack, suppress(BadInput):
            inside = Scratch(self._folder, _limited(repack.decompressed(new.pieces())))
            stack.callback(inside.close)
            recipe = repack.find(new.data, inside.data)
            for one in (new, inside):
                one.rest()
            if recipe is not None:
                before = Scratch(self._folder, _limited(repack.decompressed(old.pieces())))
                stack.callback(before.close)
                return Made(frame(self._folder, before, inside, self._level), recipe)
        return None

    def _cost(self, file: File, known: set[bytes]) -> int:
        """About what a node fetches for this file without a patch: its share of the frames."""
        cost = 0.0
        for id in file.chunks():
            if id not in known:
                place = self._locator.find(id)
                packed = self._locator.frame(place.frame)
                for base in self._locator.bases(place.frame)[:1]:  # a node fetches it packed as that one is
                    packed = self._locator.frame(base.frame)
                cost += packed.stored * place.length / max(packed.raw, 1)
        return int(cost)


def _zstd_files(old: bytes | mmap.mmap, new: bytes | mmap.mmap) -> bool:
    return len(new) > PACKED and old[:4] == new[:4] == repack.MAGIC


def _limited(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > UNPACKED:
            raise BadInput("more in it than is looked into")
        yield piece


def _small(old: bytes, new: bytes, level: int) -> Made:
    whole = zstd_frame(new, level)
    patch = _patch(old, new, level) if old else whole
    return Made(patch) if len(patch) < len(whole) * WORTH else Made(whole, None, True)


def _patch(old: bytes, new: bytes, level: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=window_log(len(new)), enable_ldm=len(old) > 1 << 20, write_checksum=False,
        write_content_size=True,
    )  # fmt: skip
    prefix = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=prefix, compression_params=parameters).compress(new)


def _append(out: BinaryIO, data: bytes | Scratch) -> int:
    if isinstance(data, bytes):
        return out.write(data)
    try:
        return sum(out.write(piece) for piece in data.pieces())
    finally:
        data.close()


def _whole(path: Path, head: bytes, rest: BinaryIO) -> int:
    """The file appears when it is complete and on the disk; its bytes."""
    temp = temp_path(path.parent, path.name)
    try:
        with os.fdopen(create(temp), "wb") as file:
            file.write(head)
            shutil.copyfileobj(rest, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        publish_file(temp, path)
    finally:
        temp.unlink(missing_ok=True)
    return size


def _tidy(folder: Path) -> None:
    """Old sets can be made again."""
    sets = [path for path in folder.iterdir() if path.suffix == ""]
    for path in sorted(sets, key=lambda one: one.stat().st_mtime)[:-KEPT]:
        for each in (path, path.with_suffix(".json")):
            with suppress(FileNotFoundError):
                each.unlink()
