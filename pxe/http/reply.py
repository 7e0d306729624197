"""The head of the answer to a plain read of a file, and which bytes of the file follow it. Pure.

Conditions and ranges are decided in `ranges`; the case that nearly all reads are, a file or one part of it
under no condition, takes a shorter way to the same answer. Heads of one version of a file differ in a few
numbers: the rest is kept.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from pxe.catalogue import Entry
from pxe.http.ranges import common, select
from pxe.http.wire import Head

Extra = tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    """`head`, then `length` bytes of the file from `start`."""

    head: bytes
    start: int
    length: int


def answer(
    head: Head, span: tuple[int, int] | None, entry: Entry, type: str, extra: Extra, date: str
) -> Answer:
    """What to send. `span` is as `wire.parse` gives it, `date` is now, as HTTP writes it."""
    size = entry.size
    if head.simple and head.method == "GET":
        if span is None:
            stem = _stem(200, entry.etag, entry.mtime, type, extra, head.keep, head.told)
            return Answer(f"{stem}Content-Length: {size}\r\nDate: {date}\r\n\r\n".encode(), 0, size)
        first, last = span
        if first <= last and first < size:
            last = min(last, size - 1)
            count = last - first + 1
            stem = _stem(206, entry.etag, entry.mtime, type, extra, head.keep, head.told)
            text = (
                f"{stem}Content-Range: bytes {first}-{last}/{size}\r\n"
                f"Content-Length: {count}\r\nDate: {date}\r\n\r\n"
            )
            return Answer(text.encode(), first, count)
    headers = head.headers if span is None else {**head.headers, "range": f"bytes={span[0]}-{span[1]}"}
    part = select(head.method, headers, size, entry.etag, entry.mtime)
    stem = _stem(part.status, entry.etag, entry.mtime, type, extra, head.keep, head.told)
    more = f"Content-Range: {part.headers['Content-Range']}\r\n" if "Content-Range" in part.headers else ""
    if part.status != 304:
        more += f"Content-Length: {part.length}\r\n"
    return Answer(f"{stem}{more}Date: {date}\r\n\r\n".encode(), part.start, part.length if part.body else 0)


@lru_cache(1024)
def _stem(status: int, etag: str, mtime: float, type: str, extra: Extra, keep: bool, told: bool) -> str:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    headers = {**common(etag, mtime), **dict(extra)}
    if status in (200, 206):
        headers["Content-Type"] = type
    if not keep or told:
        headers["Connection"] = "keep-alive" if keep else "close"
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines) + "\r\n"
