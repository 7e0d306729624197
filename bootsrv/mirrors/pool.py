"""The packages of an archive that is being filled: linked from its last filling, or fetched by apt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from bootsrv.apt import AptRoom
from bootsrv.errors import BootsrvError
from bootsrv.mirrors.stanzas import Stanza
from images.progress import Progress

_BATCH = 60  # packages in one call of apt


class Pool:
    """`root` is the new archive's, `old` that of its last filling, if there is one."""

    def __init__(self, root: Path, old: Path, progress: Progress) -> None:
        self._root, self._old, self._progress = root, old, progress

    def fetch(self, apt: AptRoom, stanzas: Sequence[Stanza], tolerant: bool = False) -> list[str]:
        """Put every package in its place; the names of those that could not be had, where that is tolerated.
        Raises BootsrvError."""
        left = [one for one in stanzas if not self._linked(one)]
        total, done = sum(one.size for one in left), 0
        missing: list[str] = []
        for start in range(0, len(left), _BATCH):
            batch = left[start : start + _BATCH]
            self._progress(done, total, batch[0].name)
            try:
                apt.download([f"{one.name}={one.version}" for one in batch])
            except BootsrvError:
                if not tolerant:
                    raise
            missing += self._sort(apt.debs, batch)
            done += sum(one.size for one in batch)
        if missing and not tolerant:
            raise BootsrvError(f"apt fetched something else than {', '.join(missing[:5])}")
        return missing

    def _linked(self, stanza: Stanza) -> bool:
        """Whether the last filling had it."""
        old = self._old / stanza.filename
        if not old.is_file() or old.stat().st_size != stanza.size or sha256_of(old) != stanza.sha256:
            return False
        os.link(old, self._place(stanza))
        return True

    def _sort(self, folder: Path, batch: Sequence[Stanza]) -> list[str]:
        """Each fetched file by its hash to its place, whatever apt called it."""
        found = {sha256_of(path): path for path in folder.iterdir()}
        missing = []
        for one in batch:
            path = found.pop(one.sha256, None)
            if path is None:
                missing.append(one.name)
                continue
            aim = self._place(one)
            aim.write_bytes(path.read_bytes())  # the temporary directory may be another file system
            aim.chmod(0o644)
            path.unlink()
        for path in folder.iterdir():
            path.unlink()
        return missing

    def _place(self, stanza: Stanza) -> Path:
        if stanza.filename.startswith("/") or ".." in stanza.filename.split("/"):
            raise BootsrvError(f"the index names a file outside of the archive: {stanza.filename!r}")
        aim = self._root / stanza.filename
        aim.parent.mkdir(parents=True, exist_ok=True)
        return aim


def sha256_of(path: Path) -> str:
    """A file's hash."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
