"""What is a plain read, byte for byte, and that a complete parser reads each of them the same way."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe.http import wire
from pxe.http.wire import LONGEST, begun, parse

CURL = (
    b"GET /boot/imager/vmlinuz HTTP/1.1\r\nHost: 10.77.0.1\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
)
IPXE = (
    b"GET /boot/52-54-00-12-34-56/script.ipxe?arch=7 HTTP/1.1\r\nConnection: keep-alive\r\n"
    b"User-Agent: iPXE/1.21.1+git\r\nHost: 10.77.0.1:8080\r\n\r\n"
)
OLD = b"GET /x HTTP/1.0\r\n\r\n"
PLAIN = [
    CURL,
    IPXE,
    OLD,
    b"HEAD /public/a%20b?c HTTP/1.1\r\nhost:x\r\nRange: bytes=1-2\r\n\r\n",
    b'GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\nIf-Range: "v"\r\n\r\n',
    b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\nX:\t\r\n\r\n",
]
OTHERS = {
    "a method with a body": b"POST /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "length": b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
    "length 0": b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"GET /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both": b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a name with a blank": b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n",
    "folded": b"GET /x HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a bare LF": b"GET /x HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\n",
    "a bare CR": b"GET /x HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "NUL": b"GET /x HTTP/1.1\r\nHost: x\0\r\n\r\n",
    "not ASCII": b"GET /x HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
    "no host": b"GET /x HTTP/1.1\r\nA: b\r\n\r\n",
    "two ranges": b"GET /x HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n",
    "another protocol": b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a named hop": b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close, X-A\r\n\r\n",
    "a hop's old name": b"GET /x HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n\r\n",
    "expectation": b"GET /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    "absolute": b"GET http://x/boot/y HTTP/1.1\r\nHost: x\r\n\r\n",
    "no slash": b"GET boot/y HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"GET /x HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "two blanks": b"GET  /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a line before": b"\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "many": b"GET /x HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d:\r\n" % n for n in range(130)) + b"\r\n",
    "too long": b"GET /" + b"x" * LONGEST + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


def complete(raw):
    """What aiohttp's parser makes of it: (method, target, headers, keep), or None where it refuses."""

    async def ask():
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(
            BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190, max_headers=128
        )
        try:
            messages, upgraded, tail = parser.feed_data(raw)
        except Exception:
            return None
        assert len(messages) == 1 and not upgraded and not tail
        message, payload = messages[0]
        assert payload.is_eof() and not message.chunked and not message.upgrade
        headers = {name.lower(): value for name, value in message.headers.items()}
        return message.method, message.path, headers, not message.should_close

    return asyncio.run(ask())


def agree(raw):
    """Whether it is plain; then the complete parser must say the same of it."""
    found = parse(raw)
    if found is None:
        return False
    head, span = found
    headers = dict(head.headers)
    if span is not None:
        assert "range" not in headers
        first, last = raw.split(b"\r\nRange: bytes=")[1].split(b"\r\n")[0].split(b"-")
        assert span == (int(first), int(last))
        headers["range"] = f"bytes={first.decode()}-{last.decode()}"
    assert complete(raw) == (head.method, head.target, headers, head.keep)
    return True


@pytest.mark.parametrize("raw", PLAIN)
def test_plain_reads(raw):
    assert agree(raw)


@pytest.mark.parametrize("raw", OTHERS.values(), ids=OTHERS.keys())
def test_all_else_is_left_to_a_complete_parser(raw):
    assert parse(raw) is None


def test_a_part_is_told_apart_from_what_is_the_same_each_time():
    heads = []
    for number in range(3):
        raw = CURL[:-2] + b"Range: bytes=%d-%d\r\n\r\n" % (number, number + 9)
        head, span = parse(raw)
        assert span == (number, number + 9)
        heads.append(head)
    assert heads[0] is heads[1] is heads[2] is parse(CURL)[0]
    assert (heads[0].simple, heads[0].keep, heads[0].told) == (True, True, False)


@pytest.mark.parametrize(
    "value", [b"bytes=5-", b"bytes=-5", b"bytes=1-2,3-4", b"bytes= 1-2", b"lines=1-2", b""]
)
def test_other_ranges_stay_in_the_head(value):
    head, span = parse(CURL[:-2] + b"Range: " + value + b"\r\n\r\n")
    assert (span, head.simple, head.headers["range"]) == (None, False, value.decode())


def test_a_condition_makes_a_part_less_simple():
    head, span = parse(CURL[:-2] + b'Range: bytes=1-2\r\nIf-Range: "x"\r\n\r\n')
    assert (span, head.simple, head.headers["range"]) == (None, False, "bytes=1-2")


def test_who_is_kept():
    assert not parse(OLD)[0].keep
    head = parse(b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")[0]
    assert (head.keep, head.told) == (True, True)
    assert not parse(b"GET /a HTTP/1.1\r\nHost: x\r\nconnection: CLOSE\r\n\r\n")[0].keep


@pytest.mark.parametrize("raw", PLAIN)
def test_every_beginning_of_a_plain_read_may_become_one(raw):
    assert all(begun(raw[:end]) for end in range(1, len(raw)))


@pytest.mark.parametrize(
    "raw",
    [b"P", b"\x16\x03\x01", b"GET /x\n", b"GET /x HTTP/2", b"GET x", b"GET /x HTTP/1.1\r\nHost x\r\n",
     b"GET /x\r\n", b"GET /x HTTP/1.1\r\nA: b\n", b"GET /x HTTP/1.1\r\nA\0: b\r\n",
     b"GET /" + b"x" * LONGEST],
)  # fmt: skip
def test_what_cannot_become_one_is_not_waited_for(raw):
    assert not begun(raw)


def test_long_heads_are_read_but_not_remembered():
    raw = CURL[:-2] + b"Cookie: " + b"x" * 2000 + b"\r\nRange: bytes=0-1\r\n\r\n"
    head, span = parse(raw)
    assert (span, head.short, head.headers["range"]) == (None, False, "bytes=0-1")
    assert parse(raw)[0] is not head


lines = st.sampled_from(
    [b"Host: x", b"Range: bytes=0-9", b"range: bytes=3-", b"Connection: close", b"Connection: keep-alive",
     b"Content-Length: 0", b"Transfer-Encoding: chunked", b"A:b", b"A: \t b \t", b": x", b" x", b"A b: c",
     b"Expect: x", b"Upgrade: x", b"Content-Encoding: gzip", b"TE: trailers",
     b"Proxy-Connection: close", b"Keep-Alive: 5"]
)  # fmt: skip
starts = st.sampled_from(
    [b"GET /boot/a HTTP/1.1", b"HEAD /a HTTP/1.0", b"GET /%zz[\\ HTTP/1.1", b"GET /# HTTP/1.1"]
)


@settings(deadline=None, max_examples=300)
@given(
    starts,
    st.lists(lines, max_size=5),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=2),
)
def test_what_is_taken_for_a_plain_read_everybody_reads_the_same_way(start, fields, changes):
    raw = bytearray(b"\r\n".join([start, *fields, b"", b""]))
    for at, byte in changes:
        raw[at % len(raw)] = byte
    whole = bytes(raw)
    end = whole.find(b"\r\n\r\n") + 4
    if end >= 4:
        agree(whole[:end])
    begun(whole)
    assert wire._remembered.cache_info().currsize <= 1024
