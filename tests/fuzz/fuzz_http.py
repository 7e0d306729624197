"""Coverage-guided fuzzing of what we decide of an HTTP request: its route, its range and conditions, whom it
claims to be. (The bytes of HTTP itself are aiohttp's to parse.)

    python tests/fuzz/fuzz_http.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any request line has a route, and under our own paths its names are plain text without a way out;
any headers give a whole file, one part inside it, or no body.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

with atheris.instrument_imports(include=["pxe"]):
    from pxe.http.ranges import select
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
    return [f"{line}\n{lines[0]}".encode() for line in lines] + [
        f"{lines[1]}\n{header}".encode() for header in headers
    ]


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
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
