"""Conditions and ranges of one GET or HEAD of a file (RFC 9110 §13, §14). Pure.

The law: for any headers, the answer is a whole file, one part that lies inside it, or no body; never an
exception, and never a part of one version glued to another (If-Range). A request for several ranges gets the
whole file, which RFC 9110 §14.2 allows: no boot client asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))[ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """What to send: `length` bytes from `start`, with these headers; `body` is False for HEAD, 304, 412,
    416."""

    status: int
    start: int
    length: int
    body: bool
    headers: dict[str, str]


def select(method: str, headers: Mapping[str, str], size: int, etag: str, mtime: float = 0.0) -> Part:
    """The part of a file that a request wants. `headers` have lower-case names; `etag` is without quotes.

    `mtime` is in epoch seconds; 0 means unknown (no dates are sent or compared).
    """
    always = common(etag, mtime)
    status = _precondition(headers, etag, int(mtime))
    if status:
        return Part(status, 0, 0, False, always)
    wanted = None
    if method == "GET" and "range" in headers and _same(headers.get("if-range"), etag, int(mtime)):
        wanted = _range(headers["range"], size)
    if wanted is None:
        return Part(200, 0, size, method != "HEAD", always)
    start, end = wanted
    if start >= end:
        return Part(416, 0, 0, False, {**always, "Content-Range": f"bytes */{size}"})
    return Part(206, start, end - start, True, {**always, "Content-Range": f"bytes {start}-{end - 1}/{size}"})


def common(etag: str, mtime: float) -> dict[str, str]:
    """The headers of each answer about this version of a file."""
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{etag}"'}
    if mtime:
        headers["Last-Modified"] = formatdate(mtime, usegmt=True)
    return headers


def _range(header: str, size: int) -> tuple[int, int] | None:
    """(start, end) with end exclusive; an empty one cannot be satisfied; None: not a single byte range,
    ignore."""
    found = _RANGE.fullmatch(header.strip().lower())
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size if int(suffix) else 0
    start = int(first)
    if not last:
        return start, size
    if int(last) < start:
        return None  # invalid, RFC 9110 §14.1.1: a recipient ignores it
    return start, min(size, int(last) + 1)


def _precondition(headers: Mapping[str, str], etag: str, mtime: int) -> int:
    """412 or 304, or 0 to go on; the order is that of RFC 9110 §13.2.2."""
    if (match := headers.get("if-match")) is not None:
        if not _listed(match, etag, weak=False):
            return 412
    elif (since := _date(headers.get("if-unmodified-since"))) is not None and mtime and mtime > since:
        return 412
    if (none := headers.get("if-none-match")) is not None:
        return 304 if _listed(none, etag, weak=True) else 0
    if (since := _date(headers.get("if-modified-since"))) is not None and mtime and mtime <= since:
        return 304
    return 0


def _listed(header: str, etag: str, weak: bool) -> bool:
    tags = [tag.strip() for tag in header.split(",")]
    mine = f'"{etag}"'
    return "*" in tags or mine in tags or (weak and f"W/{mine}" in tags)


def _same(if_range: str | None, etag: str, mtime: int) -> bool:
    """Whether If-Range (when there is one) names exactly this version; weak tags never do."""
    if if_range is None:
        return True
    value = if_range.strip()
    if value.startswith(('"', "W/")):
        return value == f'"{etag}"'
    return bool(mtime) and _date(value) == mtime


def _date(header: str | None) -> int | None:
    """An HTTP date as epoch seconds; None: absent or unreadable, which means the condition does not exist."""
    if header is None:
        return None
    try:
        when = parsedate_to_datetime(header)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
