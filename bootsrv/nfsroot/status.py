"""What the exporter says of itself, in one file that it replaces: other processes only read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bootsrv.config import Config
from bootsrv.nfsroot.grants import Grant
from images.disk import write_file


@dataclass(frozen=True, slots=True)
class Root:
    """An exported version. `bytes`: its image; `path`: where clients mount it."""

    image: str
    id: str
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class WriteSpace:
    """A machine's own directory; sizes in bytes."""

    node: int
    path: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """One client since the exporter began: bytes to it and from it, and whether it is connected now."""

    address: str
    connected: bool
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class Status:
    """`state`: of versions that are being made, or why one could not be."""

    backend: str = ""
    port: int = 2049
    mount_port: int = 0
    versions: tuple[str, ...] = ()
    error: str = ""
    roots: tuple[Root, ...] = ()
    writes: tuple[WriteSpace, ...] = ()
    grants: tuple[Grant, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    state: dict[str, str] = field(default_factory=dict)


def file(config: Config) -> Path:
    return config.run_dir / "nfs.json"


def write(config: Config, status: Status) -> None:
    """Raises OSError."""
    body = json.dumps(asdict(status), separators=(",", ":")).encode()
    write_file(file(config), body, mode=0o644)  # the directory is closed to others


def read(config: Config) -> Status:
    """The last one; an empty one where there is none yet, or where it is another release's."""
    try:
        row: dict[str, Any] = json.loads(file(config).read_bytes())
        return Status(
            **{
                **row,
                "versions": tuple(row["versions"]),
                "roots": tuple(Root(**one) for one in row["roots"]),
                "writes": tuple(WriteSpace(**one) for one in row["writes"]),
                "grants": tuple(Grant.read(one) for one in row["grants"]),
                "traffic": tuple(Traffic(**one) for one in row["traffic"]),
            }
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Status()
