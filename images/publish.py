"""The last step of every import: number it, write and sign its manifest, write its locator, name it.

Law: in that order, each durable before the next; the catalogue's rename is the moment the version exists. Of
a new name an empty catalogue comes first (rebuild.py says why).
All of it happens under the store's lock, so that two publishers take turns and gc never looks half-way.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from binascii import unhexlify
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from images import catalogue, signature
from images.condemned import restore
from images.disk import create, locked, publish_file, temp_path, write_all, write_file
from images.errors import BadInput, ImageConflict, ImageNotFound
from images.index import Index
from images.lineage import Fresh, discard, patch
from images.locator import Locator
from images.locator_writer import build
from images.manifest import Header, write_header
from images.marks import marked
from images.rebuild import refuse_lost
from images.returned import restore_locators
from images.sealed import MAGIC, PREFIX
from images.shelf import Shelf
from images.spool import Spool
from images.versions import Version, check_name

# Much of a manifest are digests, where matches of a few bytes are found by chance and help nothing: of one of
# 15 MB level 1 makes 3.27 MB, level 9 3.40 MB in ten times the time.
_LEVEL, _PIECE = 1, 1 << 17
_CHUNK = re.compile(rb'\["([0-9a-f]{64})",([0-9]+)\]')


def publish(
    store: Shelf, index: Index, tree: Spool, name: str, comment: str, parent: str | None,
    meta: dict[str, Any], now: float, kind: str, fresh: Fresh,
) -> Version:  # fmt: skip
    """See Session.publish."""
    check_name(name)
    with tempfile.TemporaryFile(dir=store.temp, prefix="text.", suffix=".tmp") as text:
        ids, files, size = _write(tree, cast("BinaryIO", text))
        if files <= 1:
            raise BadInput(f"image {name}: there is nothing in it")
        with locked(store.lock):
            index.refresh(marked(store.condemned))  # a pack may have been deleted since we began
            restore(store, index, ids)
            try:
                book = catalogue.load(store.names_dir, name)
            except ImageNotFound:
                refuse_lost(store, name)
                book = catalogue.Catalogue(name)
            last = book.latest()
            refuse_other_kind(book, kind)
            if parent is None and last is not None:
                parent = book.versions[last].id
            retired: list[bytes] = []
            if parent is not None and kind == "tree":
                retired = patch(store, index, tree, parent, fresh)
            header = Header(name, book.next, now, comment, parent, kind, files, size, meta)
            temp, id = _seal(store, header, cast("BinaryIO", text))
            try:
                data, stored = build(id, ids, index)
                if book.next == 1:  # a manifest of a name without catalogue means that one was lost
                    catalogue.save(store.names_dir, store.temp, book)
                publish_file(temp, store.manifests / id)
            except BaseException:
                temp.unlink(missing_ok=True)
                raise
            write_file(store.locators / id, data, store.temp)
            version = Version(name, book.next, id, kind, now, comment, parent, files, size, stored, (), meta)
            book.versions[book.next] = version
            book.next += 1
            catalogue.save(store.names_dir, store.temp, book)
            if retired:
                with suppress(OSError):  # it is published, and they are marked: gc takes what is left
                    discard(store, retired, Locator.parse(data), id, fresh)
            restore_locators(store, index)
            return book.get(version.number)


def refuse_other_kind(book: catalogue.Catalogue, kind: str) -> None:
    """Raises ImageConflict where versions so far are of another kind: who says only the name means them."""
    last = book.latest()
    if last is not None and book.versions[last].kind != kind:
        there, comes = ("files", "a disk") if kind != "tree" else ("a disk", "files")
        raise ImageConflict(
            f"{book.name}@{last} is an image of {there}, this is one of {comes}: give it a name of its own"
        )


def _write(tree: Spool, text: BinaryIO) -> tuple[set[bytes], int, int]:
    """The entries' lines to `text`; chunk ids, entries, and bytes of data, each hard-linked file counted
    once.
    """
    ids: set[bytes] = set()
    files = size = 0
    for lines in _together(tree.lines()):
        piece = b"".join(lines)
        text.write(piece)
        files += len(lines)
        # Not parsed, which costs more than all else here: within a JSON text no quote stands by itself, so
        # nothing in a name can look like a chunk.
        found = _CHUNK.findall(piece)
        size += sum(int(length) for _, length in found)
        ids.update(unhexlify(digest) for digest, _ in found)
    return ids, files, size


def _together(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    held = 0
    for line in lines:
        some.append(line)
        held += len(line)
        if held >= _PIECE:
            yield some
            some, held = [], 0
    yield some


def _seal(store: Shelf, header: Header, text: BinaryIO) -> tuple[Path, str]:
    """The signed manifest as a durable temporary file, and its id."""
    path = temp_path(store.temp, "manifest")
    fd = create(path)
    hasher = hashlib.sha256()
    packer = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    try:
        write_all(fd, bytes(PREFIX))
        for piece in _pieces(header, text):
            hasher.update(piece)
            write_all(fd, packer.compress(piece))
        write_all(fd, packer.flush())
        digest = hasher.digest()
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, MAGIC + digest + signature.sign(store.private_key(), digest))
        os.fsync(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return path, digest.hex()


def _pieces(header: Header, text: BinaryIO) -> Iterator[bytes]:
    yield write_header(header)
    text.seek(0)
    while piece := text.read(_PIECE):
        yield piece
