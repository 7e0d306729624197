"""Disks with real file systems for tests, made by their own tools in plain files: no mounts, no root."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

MIB = 1 << 20


def run(*words: str | Path, given: str | bytes = b"") -> str:
    done = subprocess.run(
        [str(word) for word in words], input=given.encode() if isinstance(given, str) else given,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stderr, done.stdout)
    return done.stdout.decode("utf-8", "replace")


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def soiled(path: Path, size: int) -> Path:
    """A file full of what an earlier life of the disk left."""
    path.write_bytes(random.Random(7).randbytes(MIB) * (size // MIB))
    return path


def tree(folder: Path) -> Path:
    """Files of many sizes below `folder`."""
    folder.mkdir()
    for number, size in enumerate((0, 1, 4096, 70_000, 900_000, 3_000_000)):
        (folder / f"file{number}").write_bytes(random.Random(number).randbytes(size))
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/text").write_text("hello\n" * 3000)
    return folder


def ext(image: Path, source: Path, *options: str) -> None:
    run("mkfs.ext4", "-q", "-F", "-d", source, *options, image)


def put(disk: Path, partition: Path, start: int) -> None:
    """Copy a file system into a disk, its holes left alone."""
    with disk.open("r+b") as out, partition.open("rb") as file:
        out.seek(start)
        while piece := file.read(MIB):
            if piece.count(0) != len(piece):
                out.write(piece)
            else:
                out.seek(len(piece), 1)
