"""What is written down about a tree, beside its files: `tree.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bootsrv.errors import BootsrvError
from pxe.trees.facts import TreeFacts


class TreeRecord(msgspec.Struct, frozen=True):
    """One tree. `imported` is epoch seconds; `bytes` and `files` are those of its list.

    `iso`: the name in the tree under which the whole medium is served, for installers that want it; else "".
    """

    name: str
    facts: TreeFacts
    source: str
    imported: float
    files: int
    bytes: int
    checked: int  # files that the medium's own checksums vouch for
    iso: str = ""
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Its path on our HTTP server."""
        return f"/tree/{self.name}/"


def save(record: TreeRecord, path: Path) -> None:
    """Write it whole."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    new.replace(path)


def load(path: Path) -> TreeRecord:
    """Raises FileNotFoundError, BootsrvError when it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TreeRecord)
    except msgspec.DecodeError as error:
        raise BootsrvError(f"{path}: damaged ({error}); import the tree again") from error
