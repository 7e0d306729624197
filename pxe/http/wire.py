"""The heads of plain reads: bytes <-> frozen dataclasses (RFC 9112 §2 to §5). Pure.

Nearly all that a boot server is asked is `GET NAME`, perhaps a part of it, without a body, by clients that
all say the same. That is what is understood here, and nothing else of HTTP.

The law: what is taken for a plain read is one by the strictest reading: its lines end in CRLF, it is ASCII,
no name comes twice, nothing announces a body or another protocol, and it ends where everybody sees its end.
Anything else is None: not refused, but for a complete parser to judge, with every byte as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 8190  # bytes of a head; beyond that it is no plain one
_FIELDS = 100  # more header lines than any client sends
_KEPT = 1024  # a longer one is not remembered, so that what is remembered stays small

_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e]*+"
_HEAD = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*+) HTTP/1\.([01])\r\n((?:" + _FIELD + rb"\r\n)*+)\r\n")
_LINE = re.compile(_FIELD)
_FIRST = re.compile(rb"(?:GET|HEAD) /[\x21-\x7e]*+ HTTP/1\.[01]")
_TARGET = re.compile(rb"(?:/[\x21-\x7e]*+)?")
_RANGE, _SPAN = b"\r\nRange: bytes=", re.compile(rb"([0-9]{1,19})-([0-9]{1,19})")
# A body, or something else than the next request behind this one; or a name that only some parsers heed
# (llhttp takes Proxy-Connection for Connection).
_MORE = frozenset({"content-length", "transfer-encoding", "upgrade", "expect", "http2-settings", "trailer",
                   "sec-websocket-key1", "proxy-connection"})  # fmt: skip
_CONDITIONS = frozenset({"range", "if-range", "if-match", "if-none-match", "if-modified-since",
                         "if-unmodified-since"})  # fmt: skip
_CLOSE, _KEEP = "close", "keep-alive"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A plain read: `method` is GET or HEAD, `headers` have lower-case names. `keep`: another request may
    come on this connection; `told`: and the client has to be told so (HTTP/1.0). `simple`: it asks for no
    part, under no condition. `short`: heads with the same bytes are the same object, as a rule."""

    method: str
    target: str
    headers: Mapping[str, str]
    keep: bool
    told: bool
    simple: bool
    short: bool


def parse(raw: bytes) -> tuple[Head, tuple[int, int] | None] | None:
    """What the head `raw`, up to and with its empty line, asks for; None: not a plain read.

    The second: first and last byte of the part that a simple head wants, as the client wrote them. (A client
    that fetches part after part says the same each time, but for the part.)
    """
    if len(raw) > _KEPT:
        head = _parsed(raw)
        return None if head is None else (head, None)
    at = raw.find(_RANGE)
    if at > 0:
        start = at + len(_RANGE)
        end = raw.find(b"\r\n", start)
        span = _SPAN.fullmatch(raw, start, end)
        if span is not None:
            head = _remembered(raw[:at] + raw[end:])
            if head is not None and head.simple:
                return head, (int(span[1]), int(span[2]))
    head = _remembered(raw)
    return None if head is None else (head, None)


def begun(raw: bytes) -> bool:
    """Whether bytes without an empty line may yet become a plain read."""
    first, *lines = raw.split(b"\r\n")
    last = lines.pop() if lines else first
    if len(raw) > LONGEST or b"\n" in last or b"\r" in last[:-1]:
        return False
    if last is first:
        return _first_begun(first.removesuffix(b"\r"))
    return _FIRST.fullmatch(first) is not None and all(map(_LINE.fullmatch, lines))


def _first_begun(line: bytes) -> bool:
    method, *rest = line.split(b" ")
    if not rest:
        return b"GET".startswith(method) or b"HEAD".startswith(method)
    version = rest[1] if len(rest) > 1 else b""
    return (
        method in (b"GET", b"HEAD")
        and len(rest) < 3
        and _TARGET.fullmatch(rest[0]) is not None
        and (b"HTTP/1.1".startswith(version) or version == b"HTTP/1.0")
    )


def _parsed(raw: bytes) -> Head | None:
    found = _HEAD.fullmatch(raw)
    if found is None or len(raw) > LONGEST:
        return None
    method, target, minor, block = found.groups()
    lines = block.decode("ascii").split("\r\n")[:-1]
    headers = {name.lower(): value.strip(" \t") for name, _, value in (line.partition(":") for line in lines)}
    if len(headers) < len(lines) or len(lines) > _FIELDS or not _MORE.isdisjoint(headers):
        return None
    old, connection = minor == b"0", headers.get("connection", "").lower()
    if connection not in ("", _CLOSE, _KEEP) or not (old or headers.get("host")):
        return None
    keep = connection == _KEEP if old else connection != _CLOSE
    simple = _CONDITIONS.isdisjoint(headers)
    return Head(method.decode(), target.decode(), headers, keep, old and keep, simple, len(raw) <= _KEPT)


_remembered = lru_cache(1024)(_parsed)
