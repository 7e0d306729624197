"""`bootsrv backup`: everything that makes this server this server, in one file, while it runs.

A tar in zstd: `backup.json`, the configuration, the data directory, and last `sums.json`, the SHA-256 of
every file: what has no end is no backup. The registry is copied as of one moment, the lease journal after it
(it may know more, never less), and of the store what its catalogue names (images.snapshot). Left out are
what a server makes again by itself and what diskless nodes write: file systems that are in use.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from bootsrv.appliance.errors import translated
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Conflict, NotFound
from bootsrv.leasebook.keeper import NAME as JOURNAL
from bootsrv.registry.copying import copy_to
from images.disk import create
from images.progress import Progress
from images.snapshot import snapshot
from images.store import ImageStore
from images.workplace import workplace

FORMAT = 1
ABOUT, SUMS, CONFIG, DATA = "backup.json", "sums.json", "config/bootsrv.toml", "data"
_MADE_AGAIN = ("run", "cache", "patches", "plain", "netroot", "nbd")
_OF_NODES = ("layers", "nfs")
_SPECIAL = ("store", JOURNAL, *_MADE_AGAIN, *_OF_NODES)  # the journal: after the registry


@dataclass(frozen=True, slots=True)
class Written:
    """What a backup holds."""

    path: Path
    files: int
    bytes: int  # before compression
    images: bool


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    path: Path


def write(config: Config, out: Path, images: bool, progress: Progress) -> Written:
    """Write a backup to `out`, which must not exist; it appears when it is whole. `images`: with every
    version of every image, else only with the keys that sign them.

    Raises NotFound, Conflict, BootsrvError, OSError.
    """
    if not config.registry_file.exists():
        raise NotFound(f"{config.data_dir}: there is no registry; is this the right configuration?")
    if out.exists():
        raise Conflict(f"{out} exists; name another file")
    with ExitStack() as stack:
        work = stack.enter_context(workplace("backup", Path(tempfile.gettempdir())))
        copy_to(config.registry_file, work / "registry.db")
        items = [_Item(CONFIG, config.path), _Item(f"{DATA}/registry.db", work / "registry.db")]
        items += [_Item(f"{DATA}/{name}", path) for name, path in _own(config)]
        items += _store(config, images, stack)
        if (config.data_dir / JOURNAL).exists():
            items.append(_Item(f"{DATA}/{JOURNAL}", config.data_dir / JOURNAL))
        about = {
            "format": FORMAT, "made": time.time(), "host": socket.gethostname(), "images": images,
            "data_dir": str(config.data_dir), "config": str(config.path.absolute()),
        }  # fmt: skip
        return _pack(out, about, items, images, progress)


def _own(config: Config) -> Iterator[tuple[str, Path]]:
    """Everything in the data directory that needs no special care."""
    for path in sorted(config.data_dir.iterdir()):
        if path.name not in _SPECIAL and not path.name.startswith("registry.db"):
            yield from _below(path, path.name)


def _below(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    if path.is_symlink() or not path.is_dir():
        if path.is_symlink() or path.is_file():  # nobody backs up a socket
            yield name, path
        return
    yield name, path
    for inner in sorted(path.iterdir()):
        yield from _below(inner, f"{name}/{inner.name}")


def _store(config: Config, images: bool, stack: ExitStack) -> list[_Item]:
    if not (config.store_dir / "format.json").exists():
        return []
    with translated():
        root = stack.enter_context(snapshot(ImageStore.open(config.store_dir, create=False), images))
    items = [item for path in sorted(root.iterdir()) for item in _below(path, f"store/{path.name}")]
    return [_Item(f"{DATA}/{name}", path) for name, path in items]


def _pack(
    out: Path, about: dict[str, object], items: list[_Item], images: bool, progress: Progress
) -> Written:
    total = sum(item.path.lstat().st_size for item in items if item.path.is_file())
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    sums: dict[str, str] = {}
    done = 0
    try:
        # It holds every key of the server: for its owner alone, from its first byte.
        with os.fdopen(create(unfinished, 0o600), "wb") as file:
            with (
                zstandard.ZstdCompressor(level=3, threads=-1, write_checksum=True).stream_writer(
                    file, closefd=False
                ) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                _add_text(tar, ABOUT, about)
                for item in items:
                    size, digest = _add(tar, item)
                    if digest:
                        sums[item.name] = digest
                    done += size
                    progress(done, total, item.name)
                _add_text(tar, SUMS, sums)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, out)  # not a rename: nothing that appeared meanwhile is replaced
    except FileExistsError as error:
        raise Conflict(f"{out} exists; name another file") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Written(out, len(sums), done, images)


def _add_text(tar: tarfile.TarFile, name: str, value: object) -> None:
    data = json.dumps(value, indent=1).encode()
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), int(time.time()), 0o600
    tar.addfile(info, io.BytesIO(data))


def _add(tar: tarfile.TarFile, item: _Item) -> tuple[int, str]:
    """Size and SHA-256 of a file; of a folder or a link 0 and nothing."""
    if item.path.is_symlink() or item.path.is_dir():
        info = tar.gettarinfo(item.path, arcname=item.name)
        tar.addfile(info)
        return 0, ""
    with item.path.open("rb") as source:
        info = tar.gettarinfo(arcname=item.name, fileobj=source)
        info.type, info.linkname = tarfile.REGTYPE, ""  # a hard link of the snapshot's is a file of its own
        info.size = os.fstat(source.fileno()).st_size
        reading = _Summed(source, info.size, item.name)
        tar.addfile(info, reading)
        return info.size, reading.sum.hexdigest()


class _Summed(io.RawIOBase):
    """Reads exactly what was promised, and sums it; what was appended meanwhile is not of this backup."""

    def __init__(self, source: IO[bytes], size: int, name: str) -> None:
        self._source, self._left, self._name = source, size, name
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        want = self._left if size < 0 else min(size, self._left)
        data = self._source.read(want)
        if len(data) < want:
            raise BootsrvError(f"{self._name} became shorter while it was read; run the backup again")
        self._left -= len(data)
        self.sum.update(data)
        return data
