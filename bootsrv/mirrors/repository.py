"""Writes the indexes of an apt repository and signs them: `dists/SUITE/...` beside the packages.

Release is made by apt-ftparchive; the entries are the distribution's own, so that what depends on them
(priorities, tasks, an installer's menu) is as it was.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootsrv.errors import BootsrvError, Invalid
from bootsrv.mirrors.stanzas import Stanza
from bootsrv.signing import ArchiveKey

KEY, KEY_ASCII = "archive-key.gpg", "archive-key.asc"


def write_indexes(
    root: Path, suite: str, parts: Mapping[str, Sequence[Stanza]], about: Mapping[str, str], key: ArchiveKey
) -> None:
    """`parts`: entries by directory below dists/SUITE (`main/binary-amd64`). `about`: fields of Release.

    Raises Invalid without apt-ftparchive, BootsrvError, OSError.
    """
    for part, stanzas in parts.items():
        ordered = sorted(stanzas, key=lambda one: (one.name, one.version))
        text = "".join(f"{one.text}\n\n" for one in ordered)
        write_packages(root / "dists" / suite / part, text.encode())
    release(root / "dists" / suite, about, key)
    (root / KEY).write_bytes(key.public())
    (root / KEY_ASCII).write_bytes(key.public(ascii_=True))


def write_packages(folder: Path, text: bytes) -> None:
    """`Packages`, plain and compressed as clients of every age want it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        ("Packages", text), ("Packages.gz", gzip.compress(text, mtime=0)),
        ("Packages.xz", lzma.compress(text)),
    ):  # fmt: skip
        (folder / name).write_bytes(data)


def release(folder: Path, about: Mapping[str, str], key: ArchiveKey) -> None:
    """`Release` of what lies in `folder`, with both kinds of signature."""
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in about.items()]
    text = ftparchive([*options, "release", "."], folder)
    (folder / "Release").write_bytes(text)
    (folder / "InRelease").write_bytes(key.inline(text))
    (folder / "Release.gpg").write_bytes(key.detached(text))


def ftparchive(words: Sequence[str], folder: Path) -> bytes:
    """What apt-ftparchive says of `folder`. Raises Invalid when it is missing, BootsrvError."""
    if shutil.which("apt-ftparchive") is None:
        raise Invalid("apt-ftparchive is missing on this machine; install the package apt-utils")
    done = subprocess.run(
        ["apt-ftparchive", *words], cwd=folder, capture_output=True, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "APT_CONFIG": "/dev/null"},
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise BootsrvError(f"apt-ftparchive failed: {said[0]}")
    return done.stdout
