"""`bootsrv restore`: a server from its backup, on this machine or on a new one.

The law: the data directory is the old one or the whole new one. All is unpacked beside it and checked against
the sums first; then it takes the place in one rename, and what was there is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import zstandard

from bootsrv.backup.write import ABOUT, CONFIG, DATA, FORMAT, SUMS
from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from bootsrv.registry.salvage import damage
from images.progress import Progress

_TOP = 1 << 20  # bytes of the description, at most


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. `aside`: where the data directory that was there before is."""

    data_dir: Path
    files: int
    made: float
    host: str
    images: bool
    aside: Path | None


def restore(file: Path, data_dir: Path, replace: bool, progress: Progress) -> Restored:
    """Unpack, check, and put in place. Raises NotFound, Invalid (not a whole backup), Conflict (something is
    there, or in use), OSError."""
    filled = data_dir.is_dir() and any(data_dir.iterdir())
    if filled and not replace:
        raise Conflict(f"{data_dir} is not empty; --replace keeps what is there beside it")
    user = _user_of(data_dir) if filled else None
    if user is not None:
        raise Conflict(f"process {user} has files of {data_dir} open; stop the service first")
    stage = data_dir.with_name(f"{data_dir.name}.restoring")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700, parents=True)
    try:
        about, files = _unpack(file, stage, progress)
        reason = damage(stage / DATA / "registry.db")
        if reason is not None:
            raise Invalid(f"{file}: the registry in it is damaged: {reason}")
        aside = _take_place(stage / DATA, data_dir) if filled else None
        if aside is None:
            with suppress(FileNotFoundError):
                data_dir.rmdir()
            (stage / DATA).replace(data_dir)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Restored(
        data_dir, files, float(about["made"]), str(about["host"]), bool(about["images"]), aside
    )


def configuration(file: Path) -> tuple[Path, bytes]:
    """Where the server of this backup had its configuration, and what was in it."""
    about: dict[str, Any] = {}
    with _opened(file) as tar:
        for info in tar:
            content = _content(tar, info)
            if info.name == ABOUT:
                about = _about(file, content)
            elif info.name == CONFIG and content is not None:
                return Path(str(about.get("config"))), content.read(_TOP)
    raise Invalid(f"{file}: there is no configuration in it")


def _take_place(new: Path, data_dir: Path) -> Path:
    aside = data_dir.with_name(f"{data_dir.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}")
    data_dir.replace(aside)
    try:
        new.replace(data_dir)
    except OSError:
        aside.replace(data_dir)
        raise
    return aside


def _unpack(file: Path, stage: Path, progress: Progress) -> tuple[dict[str, Any], int]:
    found: dict[str, str] = {}
    links: list[tuple[Path, str]] = []
    sums: dict[str, str] | None = None
    done = 0
    with _opened(file) as tar:
        about = _about(file, _content(tar, tar.next()))
        for info in tar:
            content = _content(tar, info)
            if info.name == ABOUT:
                continue  # a stream gives its first member again
            if info.name == SUMS and content is not None:
                sums = json.loads(content.read())
                break
            found.update(_put(stage.joinpath(*_parts(file, info.name)), info, content, links))
            done += info.size
            progress(done, None, info.name)
    if sums is None:
        raise Invalid(f"{file} is not whole: its end is missing")
    wrong = next((name for name in {**sums, **found} if sums.get(name) != found.get(name)), None)
    if wrong is not None:
        raise Invalid(f"{file} is damaged: {wrong} is not what was backed up")
    for place, target in links:  # last, so that nothing is written through one
        place.symlink_to(target)
    return about, len(found)


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo | None) -> IO[bytes] | None:
    return tar.extractfile(info) if info is not None and info.isreg() else None


def _put(
    place: Path, info: tarfile.TarInfo, content: IO[bytes] | None, links: list[tuple[Path, str]]
) -> dict[str, str]:
    """Its SHA-256, of a file; a link is made later."""
    if info.issym():
        links.append((place, info.linkname))
    elif info.isdir():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _attributes(place, info)
    elif content is not None:
        return {info.name: _write(place, info, content)}
    return {}


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with (
            file.open("rb") as source,
            zstandard.ZstdDecompressor().stream_reader(source) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            yield tar
    except FileNotFoundError as error:
        if error.filename != str(file):
            raise
        raise NotFound(f"{file}: no such file") from error
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise Invalid(f"{file} is not a whole backup of bootsrv: {error}") from error


def _about(file: Path, content: IO[bytes] | None) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(content.read(_TOP) if content is not None else b"{}")
        if about["format"] != FORMAT:
            raise BootsrvError(f"{file}: format {about['format']} needs another bootsrv")
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{file} is no backup of bootsrv") from error
    return about


def _parts(file: Path, name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if (name != CONFIG and parts[:1] != (DATA,)) or any(part in ("/", "..") for part in parts):
        raise Invalid(f"{file}: {name!r} does not belong into a backup")
    return parts


def _write(place: Path, info: tarfile.TarInfo, content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with place.open("xb") as out:
        while part := content.read(1 << 20):
            digest.update(part)
            out.write(part)
        _attributes(place, info)
        out.flush()
        os.fsync(out.fileno())
    os.utime(place, (info.mtime, info.mtime))
    return digest.hexdigest()


def _attributes(place: Path, info: tarfile.TarInfo) -> None:
    """Owners by name: numbers differ between machines."""
    if os.geteuid() == 0:
        with suppress(KeyError):
            owner = pwd.getpwnam(info.uname)
            os.chown(place, owner.pw_uid, owner.pw_gid)
    place.chmod(info.mode & 0o2777)


def _user_of(folder: Path) -> int | None:
    """A process that has something below `folder` open."""
    prefix = f"{folder.resolve()}/"
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(link.readlink()).startswith(prefix):
                return int(link.parts[2])
    return None
