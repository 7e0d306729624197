"""Ranges and conditions by RFC 9110 §13 and §14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.http.ranges import select

TAG, TIME, DATE = "v1", 1_700_000_000.5, "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER, LATER = "Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:21 GMT"


def get(size=100, method="GET", **headers):
    return select(method, {n.replace("_", "-"): v for n, v in headers.items()}, size, TAG, TIME)


def test_a_whole_file():
    part = get()
    assert (part.status, part.start, part.length, part.body) == (200, 0, 100, True)
    assert part.headers == {"Accept-Ranges": "bytes", "ETag": '"v1"', "Last-Modified": DATE}


def test_head_has_no_body():
    part = get(method="HEAD")
    assert (part.status, part.length, part.body) == (200, 100, False)


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=90-", 90, 10),
        ("bytes=90-999", 90, 10),
        ("bytes=-10", 90, 10),
        ("bytes=-999", 0, 100),
        ("Bytes=5-6", 5, 2),
    ],
)
def test_a_part(header, start, length):
    part = get(range=header)
    assert (part.status, part.start, part.length) == (206, start, length)
    assert part.headers["Content-Range"] == f"bytes {start}-{start + length - 1}/100"


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_not_satisfiable(header):
    part = get(range=header)
    assert (part.status, part.body) == (416, False)
    assert part.headers["Content-Range"] == "bytes */100"


def test_no_part_of_an_empty_file():
    assert get(0, range="bytes=0-").status == 416
    assert get(0, range="bytes=-5").status == 416
    assert get(0).status == 200


@pytest.mark.parametrize(
    "header", ["bytes=9-3", "bytes=-", "lines=1-2", "bytes=1-2,5-6", "bytes=a-b", "", "bytes=٣-"]
)
def test_what_is_no_single_range_gets_the_whole_file(header):
    assert get(range=header).status == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [('"v1"', 206), ('"v0"', 200), ('W/"v1"', 200), (DATE, 206), (LATER, 200), (EARLIER, 200), ("x", 200)],
)
def test_if_range(condition, status):
    assert get(range="bytes=1-2", if_range=condition).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_none_match": '"v1"'}, 304),
        ({"if_none_match": '"a", W/"v1"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"v0"', "if_modified_since": LATER}, 200),
        ({"if_modified_since": DATE}, 304),
        ({"if_modified_since": EARLIER}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_match": '"v1"'}, 200),
        ({"if_match": 'W/"v1"'}, 412),
        ({"if_match": '"v0"'}, 412),
        ({"if_unmodified_since": EARLIER}, 412),
        ({"if_unmodified_since": DATE}, 200),
        ({"if_match": '"v1"', "if_unmodified_since": EARLIER}, 200),
    ],
)
def test_conditions(headers, status):
    part = get(**headers)
    assert part.status == status
    assert part.body == (status == 200)


HEADERS = st.dictionaries(
    st.sampled_from(
        ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]
    ),
    st.one_of(
        st.text(max_size=30),
        st.builds("bytes={}-{}".format, st.integers(0, 200), st.integers(0, 200)),
        st.builds("bytes=-{}".format, st.integers(0, 10**30)),
        st.sampled_from(['"v1"', '"v0"', DATE, EARLIER]),
    ),
)


@given(HEADERS, st.integers(0, 150), st.sampled_from(["GET", "HEAD"]), st.sampled_from([0.0, TIME]))
def test_whatever_the_headers_a_part_lies_in_the_file(headers, size, method, mtime):
    part = select(method, headers, size, TAG, mtime)
    assert part.status in (200, 206, 304, 412, 416)
    assert part.start >= 0 and part.start + part.length <= size
    assert part.status != 206 or part.length > 0
    assert part.status != 200 or (part.start, part.length) == (0, size)
    assert part.body == (method == "GET" and part.status in (200, 206))
