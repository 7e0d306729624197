"""What the server says to one machine and nobody else is to change on the way: JSON with a signature.

    {"signed": TEXT, "signature": HEX}

TEXT is JSON again; the signature is over a label, the hash of a token that only this machine has, and TEXT,
so that it is good for this purpose and for who holds that token. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping

from images import signature
from images.errors import BadInput

ROOT = b"bootsrv root task 1\0"


def holder(token: str) -> bytes:
    """What stands for a token where the token itself is not known: its sha256."""
    return hashlib.sha256(token.encode()).digest()


def seal(task: Mapping[str, Any], held: bytes, private: bytes, label: bytes = ROOT) -> dict[str, str]:
    """The server's side. `held`: `holder` of the machine's token."""
    text = json.dumps(task)
    return {"signed": text, "signature": signature.sign(private, digest(text, held, label)).hex()}


def opened(answer: Mapping[str, Any], token: str, public: bytes, label: bytes = ROOT) -> dict[str, Any]:
    """The node's side. Raises SignatureInvalid, BadInput."""
    text, sealed = answer.get("signed"), answer.get("signature")
    if not isinstance(text, str) or not isinstance(sealed, str):
        raise BadInput("the server's answer is not signed")
    try:
        raw = bytes.fromhex(sealed)
    except ValueError as error:
        raise BadInput("the server's answer has a damaged signature") from error
    signature.verify(public, digest(text, holder(token), label), raw)
    try:
        task = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the server's answer is damaged: {error}") from error
    if not isinstance(task, dict):
        raise BadInput("the server's answer is no object")
    return task


def digest(text: str, held: bytes, label: bytes = ROOT) -> bytes:
    """What is signed."""
    return hashlib.sha256(label + held + text.encode()).digest()
