"""netascii, the text mode of TFTP (RFC 1350 §1, RFC 764): line ends are CR LF, a lone CR is CR NUL. Pure."""

from __future__ import annotations

import re

_ENCODE = {b"\n": b"\r\n", b"\r": b"\r\0"}
_SPECIAL = re.compile(rb"[\r\n]")
_DECODE = re.compile(rb"\r(\n|\0)")


def encode(text: bytes) -> bytes:
    """Local text (LF) as netascii."""
    return _SPECIAL.sub(lambda found: _ENCODE[found[0]], text)


class Decoder:
    """netascii, in pieces that may end between CR and LF, to local text."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The text of the next piece."""
        piece = self._held + piece
        self._held = b"\r" if piece.endswith(b"\r") else b""
        if self._held:
            piece = piece[:-1]
        return _DECODE.sub(lambda found: b"\n" if found[1] == b"\n" else b"\r", piece)

    def finish(self) -> bytes:
        """What was held back; a CR at the very end stays one."""
        held, self._held = self._held, b""
        return held
