"""What the server says to one machine and nobody else is to change on the way: JSON with a signature.

    {"signed": TEXT, "signature": HEX}

TEXT is JSON again; the signature is over a label, the boot's own token and TEXT, so that it is good for this
boot alone. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping

from images import signature
from images.errors import BadInput

_LABEL = b"bootsrv root task 1\0"


def seal(task: Mapping[str, Any], token: str, private: bytes) -> dict[str, str]:
    """The server's side."""
    text = json.dumps(task)
    return {"signed": text, "signature": signature.sign(private, digest(text, token)).hex()}


def opened(answer: Mapping[str, Any], token: str, public: bytes) -> dict[str, Any]:
    """The node's side. Raises SignatureInvalid, BadInput."""
    text, sealed = answer.get("signed"), answer.get("signature")
    if not isinstance(text, str) or not isinstance(sealed, str):
        raise BadInput("the server's answer is not signed")
    try:
        raw = bytes.fromhex(sealed)
    except ValueError as error:
        raise BadInput("the server's answer has a damaged signature") from error
    signature.verify(public, digest(text, token), raw)
    try:
        task = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the server's answer is damaged: {error}") from error
    if not isinstance(task, dict):
        raise BadInput("the server's answer is no object")
    return task


def digest(text: str, token: str) -> bytes:
    """What is signed."""
    return hashlib.sha256(_LABEL + hashlib.sha256(token.encode()).digest() + text.encode()).digest()
