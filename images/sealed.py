"""The manifest as a file: magic, sha256 of the text, Ed25519 signature, then the text as one zstd stream.

Law: nothing of a manifest is believed before the whole text was hashed and the signature checked;
`open_sealed` does that in one pass of constant memory, entries are read in a second one.

Python 3.8, standard library only. Writing (which compresses) is in publish.py.
"""

from __future__ import annotations

import hashlib
import re
from binascii import unhexlify
from collections.abc import Iterable, Iterator
from pathlib import Path

from images import signature
from images.errors import BadInput, ImageError, SignatureInvalid
from images.manifest import Chunk, Entry, Header, read_entries, read_header
from images.zstd import decompress_stream

MAGIC = b"BSMANIF1"
PREFIX = len(MAGIC) + 32 + signature.SIGNATURE_SIZE
LINE_LIMIT = 1 << 28  # bytes; a file of terabytes still fits
_STEP = 1 << 17
_ID = re.compile(rb'\["([0-9a-f]{64})",[0-9]+\]')


class SealedManifest:
    """A manifest file that was checked. `id` is the sha256 hex of its text; `entries()` reads it anew each
    time.
    """

    def __init__(self, path: Path, id: str, header: Header) -> None:
        self.path = path
        self.id = id
        self.header = header

    def entries(self) -> Iterator[Entry]:
        """Every entry in order. Raises BadInput at the first line that breaks the format's law."""
        return read_entries(self.lines())

    def lines(self) -> Iterator[bytes]:
        """Every entry as its line, not parsed: for who knows most of them already."""
        lines = split_lines(_text(self.path))
        next(lines)
        return lines

    def ids(self) -> Iterator[bytes]:
        """The ids of `chunks`, as `ids_of` finds them."""
        for line in self.lines():
            yield from ids_of(line)

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk in the order a writer of the tree needs them, repeats included."""
        for entry in self.entries():
            yield from entry.chunks


def ids_of(line: bytes) -> Iterator[bytes]:
    """The ids of an entry's chunks, found without parsing its line: for who reads the entries as well, which
    is where they are checked. Within a JSON text no quote stands by itself, so nothing in a name can look
    like a chunk.
    """
    return map(unhexlify, _ID.findall(line))


def open_sealed(path: Path, public: bytes | None, id: str | None = None) -> SealedManifest:
    """Check the file and read its header.

    `public` is the appliance's key (None only where the caller checked the signature before), `id` the
    sha256 hex that was asked for. Raises SignatureInvalid, or BadInput when the file is damaged or another
    one.
    """
    with path.open("rb") as file:
        prefix = file.read(PREFIX)
    if len(prefix) < PREFIX or not prefix.startswith(MAGIC):
        raise BadInput(f"{path}: not a manifest")
    digest, sealed = prefix[len(MAGIC) : len(MAGIC) + 32], prefix[len(MAGIC) + 32 :]
    if id is not None and digest.hex() != id:
        raise BadInput(f"{path}: holds manifest {digest.hex()[:12]}, not {id[:12]}")
    if public is not None:
        try:
            signature.verify(public, digest, sealed)
        except SignatureInvalid as err:
            raise SignatureInvalid(f"{path}: {err}") from err
    hasher = hashlib.sha256()
    try:
        line = _first_line(_text(path), hasher)
        if hasher.digest() != digest:
            raise BadInput("damaged, its text does not match its hash")
        header = read_header(line)
    except ImageError as err:
        raise BadInput(f"{path}: {err}") from err
    return SealedManifest(path, digest.hex(), header)


def told_header(path: Path) -> Header:
    """What a manifest says it is, with nothing of it checked. Raises BadInput, OSError."""
    return read_header(next(split_lines(_text(path)), b""))


def _first_line(pieces: Iterable[bytes], hasher: hashlib._Hash) -> bytes:
    """The first line, after having fed all pieces to `hasher`."""
    line, found = b"", False
    for piece in pieces:
        hasher.update(piece)
        if not found:
            line += piece
            found = b"\n" in line
            if len(line) > LINE_LIMIT:
                raise BadInput("manifest: header without end")
    return line.partition(b"\n")[0]


def _text(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(PREFIX)
        yield from decompress_stream(iter(lambda: file.read(_STEP), b""))


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of any size to lines without their newline. Raises BadInput for an endless or cut-off line."""
    rest: list[bytes] = []
    held = 0
    for piece in pieces:
        lines = piece.split(b"\n")
        if len(lines) == 1:
            rest.append(piece)
            held += len(piece)
            if held > LINE_LIMIT:
                raise BadInput("manifest: a line without end")
            continue
        rest.append(lines[0])
        yield b"".join(rest)
        yield from lines[1:-1]
        rest, held = [lines[-1]], len(lines[-1])
    if any(rest):
        raise BadInput("manifest: cut off in the middle of a line")
