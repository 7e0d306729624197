"""The two keys of a store against each other and against the manifests: which of them is at fault, and the
public one made anew from the private one. With a wrong public key every manifest looks forged, and none is.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from images import signature
from images.disk import write_file
from images.errors import ImageError, SignatureInvalid
from images.sealed import MAGIC, PREFIX
from images.shelf import Shelf

_BACKUP = "restore it from a backup"


class Fault(NamedTuple):
    """A key's file, what is wrong with it, what to do or how it was mended, and whether manifests can be
    checked now.
    """

    path: Path
    text: str
    repair: str
    mended: bool
    usable: bool


def look(store: Shelf, mend: bool) -> Fault | None:
    """What is wrong with the keys. A private one that this process may not read is taken for right."""
    public, private = store.root / "store.pub", store.keys / "signing.key"
    mine, told = _own(private)
    try:
        known = store.public_key()
    except FileNotFoundError:
        known = b""
    if known and mine == known:
        return None
    signed = _signed_by(store, known) if known else False
    if not known or signed is False:
        text = "does not fit the manifests" if known else "is missing"
        if not mine or _signed_by(store, mine) is False:
            return Fault(public, f"{text}; no version can be checked without it", _BACKUP, False, False)
        if not mend:
            return Fault(public, text, "run `bootsrv image verify --repair`", False, False)
        write_file(public, mine)
        return Fault(public, text, f"mended from {private}", True, True)
    if not told:
        return None
    if signed is None:
        return Fault(private, f"{told}, or that is at fault", "restore both keys from a backup", False, True)
    return Fault(private, f"{told}; nothing new can be signed", _BACKUP, False, True)


def _own(private: Path) -> tuple[bytes, str]:
    """The public key that belongs to the private one, and what is wrong with that when it is not right."""
    try:
        return signature.public_key(private.read_bytes()), "does not fit store.pub"
    except PermissionError:
        return b"", ""
    except FileNotFoundError:
        return b"", "is missing"
    except ImageError as error:
        return b"", f"is damaged ({error})"


def _signed_by(store: Shelf, public: bytes) -> bool | None:
    """Whether a manifest is signed by that key; None where there is no manifest."""
    found = None
    for path in store.manifests.iterdir():
        with suppress(FileNotFoundError, SignatureInvalid, ValueError):  # the first: taken by gc
            with path.open("rb") as file:
                prefix = file.read(PREFIX)
            found = False
            signature.verify(public, prefix[len(MAGIC) : len(MAGIC) + 32], prefix[len(MAGIC) + 32 :])
            return True
    return found
