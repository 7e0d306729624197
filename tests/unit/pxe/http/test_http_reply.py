"""The short way to an answer's head leads to the same answer as the long one."""

from hypothesis import given
from hypothesis import strategies as st

from pxe.catalogue import Entry
from pxe.http.ranges import select
from pxe.http.reply import answer
from pxe.http.wire import parse

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
PUBLIC = (("Content-Security-Policy", "sandbox"),)


def ask(method, more, size, version=1, mtime=1_700_000_000.0):
    host = "Host: x\r\n" if version else ""
    raw = f"{method} /boot/x HTTP/1.{version}\r\n{host}{more}\r\n".encode()
    head, span = parse(raw)
    entry = Entry(size, mtime, "v1", data=b"")
    text, start, length = answer(head, span, entry, "text/plain", PUBLIC, DATE)
    first, *lines = text.decode().split("\r\n")
    assert lines[-2:] == ["", ""]
    headers = dict(line.split(": ", 1) for line in lines[:-2])
    assert len(headers) == len(lines) - 2
    return int(first.split()[1]), headers, start, length


numbers = st.integers(0, 40) | st.integers(0, 10**19 - 1)


@given(st.sampled_from(["GET", "HEAD"]), numbers, numbers, st.sampled_from([0, 1, 20, 1 << 40]))
def test_a_part(method, first, last, size):
    status, headers, start, length = ask(method, f"Range: bytes={first}-{last}\r\n", size)
    part = select(method, {"range": f"bytes={first}-{last}"}, size, "v1", 1_700_000_000.0)
    assert (status, start, length) == (part.status, part.start, part.length if part.body else 0)
    assert int(headers["Content-Length"]) == part.length
    assert {name: headers.get(name) for name in part.headers} == part.headers


def test_a_whole_file():
    status, headers, start, length = ask("GET", "", 5000)
    assert (status, start, length) == (200, 0, 5000)
    assert headers == {
        "Accept-Ranges": "bytes",
        "ETag": '"v1"',
        "Last-Modified": DATE,
        "Content-Security-Policy": "sandbox",
        "Content-Type": "text/plain",
        "Content-Length": "5000",
        "Date": DATE,
    }
    assert "Last-Modified" not in ask("GET", "", 5000, mtime=0.0)[1]


def test_no_body_where_there_is_none():
    assert ask("HEAD", "", 5000)[2:] == (0, 0)
    status, headers, _, length = ask("GET", 'If-None-Match: "v1"\r\n', 5000)
    assert (status, length) == (304, 0) and "Content-Length" not in headers and "Content-Type" not in headers
    status, headers, _, length = ask("GET", "Range: bytes=9999-\r\n", 5000)
    assert (status, length, headers["Content-Length"]) == (416, 0, "0")
    assert headers["Content-Range"] == "bytes */5000"
    assert ask("GET", 'If-Match: "other"\r\n', 5000)[0] == 412


def test_who_is_told_about_the_connection():
    assert "Connection" not in ask("GET", "", 5)[1]
    assert ask("GET", "Connection: close\r\n", 5)[1]["Connection"] == "close"
    assert ask("GET", "", 5, version=0)[1]["Connection"] == "close"
    assert ask("GET", "Connection: keep-alive\r\n", 5, version=0)[1]["Connection"] == "keep-alive"
