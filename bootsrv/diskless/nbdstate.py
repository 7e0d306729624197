"""What the exports process tells the others: who has which block device, how much went out, what the cache
holds.

Each of its processes writes DATA_DIR/run/exports/N.json, once a second while something changes. Read it with
`exports(config)`:

    state = exports(config)
    state.clients     Client(address, export, since, read, written, requests, misses): one per connection
    state.versions    by NAME@NUMBER: Served(read, requests, misses, cached): bytes sent and requests since
                      the process started, requests that had to wait for the store, bytes of disk in the
                      shared cache
    state.kept        by node id: bytes of disk that what it keeps takes (`kept_by(config, node)` for one)

The share of requests that came from the cache is `hit_rate` of a Client or Served (None before the first).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bootsrv.config import Config
from bootsrv.diskless.gate import folder_of, layers_dir
from bootsrv.model import Node
from images.nbd.layer import size_of

ALIVE_SECONDS, STALE_SECONDS = 5.0, 15.0  # how often a process tells at least; when it is not believed


def _rate(requests: int, misses: int) -> float | None:
    return None if not requests else 1.0 - misses / requests


class _Reads:
    """What counts its requests, and those of them that had to wait for the store."""

    __slots__ = ()
    requests: int
    misses: int

    @property
    def hit_rate(self) -> float | None:
        """Of its reads, the share that was in the cache."""
        return _rate(self.requests, self.misses)


@dataclass(frozen=True, slots=True)
class Client(_Reads):
    """One connection. `read` and `written`: bytes of data; `since` epoch seconds."""

    address: str
    export: str
    since: float
    read: int = 0
    written: int = 0
    requests: int = 0
    misses: int = 0


def hit_rate(clients: Iterable[Client]) -> float | None:
    """Of several connections together."""
    seen = list(clients)
    return _rate(sum(one.requests for one in seen), sum(one.misses for one in seen))


@dataclass(frozen=True, slots=True)
class Served(_Reads):
    """A version, over all processes."""

    read: int = 0
    requests: int = 0
    misses: int = 0
    cached: int = 0

    def plus(self, other: Served) -> Served:
        """Both processes together; the cache is one."""
        return Served(
            self.read + other.read, self.requests + other.requests, self.misses + other.misses,
            max(self.cached, other.cached),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """All of it, at one moment."""

    clients: tuple[Client, ...] = ()
    versions: Mapping[str, Served] = field(default_factory=dict)
    kept: Mapping[int, int] = field(default_factory=dict)


class _File(msgspec.Struct):
    """What one process wrote."""

    clients: list[Client]
    versions: dict[str, Served]


def folder(config: Config) -> Path:
    """Where the processes write."""
    return config.run_dir / "exports"


def write(config: Config, number: int, clients: Iterable[Client], versions: Mapping[str, Served]) -> None:
    """One process's part. Raises OSError."""
    path = folder(config) / f"{number}.json"
    temp = path.with_suffix(".tmp")
    temp.write_bytes(msgspec.json.encode(_File(list(clients), dict(versions))))
    temp.replace(path)


def ended(config: Config, number: int) -> None:
    """That process serves nobody any more."""
    (folder(config) / f"{number}.json").unlink(missing_ok=True)


def exports(config: Config) -> State:
    """What is so now; empty while nothing is exported. Raises OSError."""
    clients: list[Client] = []
    versions: dict[str, Served] = {}
    for path in sorted(folder(config).glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                continue  # it was killed
            part = msgspec.json.decode(path.read_bytes(), type=_File)
        except (FileNotFoundError, msgspec.DecodeError):
            continue
        clients += part.clients
        for ref, served in part.versions.items():
            versions[ref] = versions.get(ref, Served()).plus(served)
    return State(tuple(clients), versions, _kept(config))


def kept_by(config: Config, node: Node) -> int:
    """Bytes of disk that what a node keeps takes."""
    return _size(folder_of(config, node))


def _kept(config: Config) -> dict[int, int]:
    try:
        return {int(path.name.partition("-")[0]): _size(path) for path in layers_dir(config).glob("[0-9]*-*")}
    except FileNotFoundError:
        return {}


def _size(place: Path) -> int:
    return sum(size_of(layer) for layer in place.glob("*/"))

