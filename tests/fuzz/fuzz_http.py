"""Coverage-guided fuzzing of what we decide of an HTTP request: whether it is a plain read, its route, its
range and conditions, whom it claims to be, the head of its answer. (All other bytes of HTTP are aiohttp's to
parse; its parser is asked here as well.)

    python tests/fuzz/fuzz_http.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any request line has a route, and under our own paths its names are plain text without a way out;
any headers give a whole file, one part inside it, or no body; what is taken for a plain read, aiohttp reads
the same way, and nothing of it is left over; and each beginning of one is waited for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import atheris
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

with atheris.instrument_imports(include=["pxe"]):
    from pxe.catalogue import Entry
    from pxe.http.ranges import select
    from pxe.http.reply import answer
    from pxe.http.resolver import (
        Refused,
        Script,
        Stored,
        authority_of,
        bearer,
        is_boot_program,
        mac_of,
        route,
        type_of,
    )
    from pxe.http.wire import begun, parse

LOOP = asyncio.new_event_loop()
ETAG, SIZES = "5-1700000000", (0, 1, 5000, 1 << 40)


def seeds() -> list[bytes]:
    """Requests as boot programs and tools send them."""
    date = "Tue, 14 Nov 2023 22:13:20 GMT"
    lines = [
        "GET /boot/52-54-00-12-34-56/script.ipxe?server=10.77.0.1&arch=7", "HEAD /boot/vmlinuz",
        "GET /public/a%20b/%2e%2e/x", "GET /store/packs/0123abcd", "POST /node/v1/log?x=1", "GET /agent",
        "GET /capture/v1/begin", "GET http://x/y", "OPTIONS *", "GET //boot//x",
        "GET /tree/debian-12/dists/Release",
    ]  # fmt: skip
    headers = [
        "", "range: bytes=0-99", "range: bytes=-5", "range: bytes=5-", "range: bytes=9-3",
        "range: bytes=1-2,5-6",
        f'range: bytes=0-1\nif-range: "{ETAG}"', f"range: bytes=0-1\nif-range: {date}",
        f'if-none-match: W/"{ETAG}", "x"', f"if-modified-since: {date}", "if-match: *",
        f"if-unmodified-since: {date}", "authorization: Bearer x", "host: [fe80::1]:8080",
        "user-agent: iPXE/1.21",
    ]  # fmt: skip
    more_headers = (
        "", "Range: bytes=0-9\r\n", "Connection: close\r\nAccept: */*\r\n", "Content-Length: 3\r\n",
    )  # fmt: skip
    wire = [
        f"{line} HTTP/1.{minor}\r\nHost: x\r\n{more}\r\n"
        for line in lines
        for minor in (0, 1)
        for more in more_headers
    ]
    return [
        *(f"{line}\n{lines[0]}".encode() for line in lines),
        *(f"{lines[1]}\n{header}".encode() for header in headers),
        *(text.encode() for text in wire),
    ]


def plain(data: bytes) -> None:
    """The bytes as they come from a client."""
    end = data.find(b"\r\n\r\n") + 4
    begun(data)
    if end < 4 or (found := parse(data[:end])) is None:
        return
    head, span = found
    assert all(begun(data[:length]) for length in range(1, end))
    parser = HttpRequestParser(
        BaseProtocol(LOOP), LOOP, 2**16, max_line_size=8190, max_field_size=8190, max_headers=128
    )
    messages, upgraded, tail = parser.feed_data(data[:end])
    (message, payload), headers = messages[0], dict(head.headers)
    assert len(messages) == 1 and not upgraded and not tail and payload.is_eof()
    if span is not None:
        given = message.headers["Range"].removeprefix("bytes=").split("-")
        assert span == (int(given[0]), int(given[1]))
        headers["range"] = message.headers["Range"]
    assert (message.method, message.path, not message.should_close) == (head.method, head.target, head.keep)
    assert {name.lower(): value for name, value in message.headers.items()} == headers
    for size in SIZES:
        for how in ((), (("X-A", "b"),)):
            made = answer(head, span, Entry(size, 1.7e9, ETAG, data=b""), "text/plain", how, "now")
            part = select(head.method, headers, size, ETAG, 1.7e9)
            assert (made.start, made.length) == (part.start, part.length if part.body else 0)
            assert made.head.startswith(b"HTTP/1.1 %d " % part.status) and made.head.count(b"\r\n\r\n") == 1
            assert made.head.endswith(b"\r\n\r\n")


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    plain(data)
    first, *rest = data.decode("latin-1").split("\n")
    method, _, target = first.partition(" ")
    found = route(method, target)
    if isinstance(found, Refused):
        assert 400 <= found.status < 500 and "\n" not in found.text
    elif isinstance(found, Script):
        assert mac_of(found.mac) == found.mac
    elif isinstance(found, Stored):
        assert "/" not in found.id and not found.id.startswith(".")
    headers = dict(line.split(": ", 1) for line in rest if ": " in line)
    for size in SIZES:
        for how in ("GET", "HEAD"):
            part = select(how, headers, size, ETAG, 1_700_000_000.0)
            assert part.start >= 0 and part.start + part.length <= size and part.length >= 0
            assert part.status in (200, 206, 304, 412, 416) and (part.status != 206 or part.length)
            assert not (part.body and how == "HEAD")
    for value in headers.values():
        host = authority_of(value)
        assert host is None or not set(host) & set(" \n\r'\"\\;$")
        bearer(value)
        is_boot_program(value)
        assert type_of(value).isprintable()


if __name__ == "__main__":
    from harness import fuzz

    fuzz(one, seeds())
