"""What the calls of machines have in common: JSON in, JSON out, and refusals as one line.

Everything that arrives is a stranger's: what is no JSON, too large, or holds numbers that neither pages nor
databases calculate with is refused here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pxe.http.ports import Reply


class Refused(Exception):
    """The peer asked for what it may not have, or sent what cannot be read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def json_reply(value: object, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, msgspec.json.encode(value))


def decode(body: bytes, limit: int) -> object:
    """JSON of at most `limit` bytes. Raises Refused."""
    if len(body) > limit:
        raise Refused(413, f"more than {limit} bytes")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise Refused(400, f"not valid JSON: {error}") from error
    waiting = [value]
    while waiting:  # every number must fit what pages and databases calculate with
        item = waiting.pop()
        if isinstance(item, int) and abs(item) >= 2**63:
            raise Refused(400, "a number has more than 64 bits")
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item
    return value


def object_of(body: bytes, limit: int) -> dict[str, Any]:
    """A JSON object. Raises Refused."""
    value = decode(body, limit)
    if not isinstance(value, dict):
        raise Refused(400, "not a JSON object")
    return value
