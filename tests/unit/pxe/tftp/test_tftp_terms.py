"""Option negotiation by RFC 2347, 2348, 2349 and 7440."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.tftp.terms import Terms, negotiate
from pxe.tftp.wire import Request


def agree(*options, size=1000, largest=1468, window=64, write=False):
    return negotiate(Request(write, "f", "octet", options), size, largest, window)


def test_without_options_there_is_no_oack():
    assert agree() == Terms()


def test_answers_in_the_order_asked_and_nothing_else():
    terms = agree(("tsize", "0"), ("multicast", ""), ("windowsize", "4"), ("blksize", "1468"))
    assert terms.accepted == (("tsize", "1000"), ("windowsize", "4"), ("blksize", "1468"))
    assert (terms.blksize, terms.windowsize) == (1468, 4)


def test_blksize_is_cut_to_what_the_path_takes():
    assert agree(("blksize", "65464")).accepted == (("blksize", "1468"),)
    assert agree(("blksize", "65464"), largest=70000).blksize == 65464


def test_windowsize_is_bounded():
    assert agree(("windowsize", "65535")).windowsize == 64


@pytest.mark.parametrize(
    "option",
    [
        ("blksize", "abc"),  # ends tftpy's whole server
        ("blksize", "7"),
        ("blksize", "-5"),
        ("blksize", "٣٣"),
        ("windowsize", "0"),
        ("windowsize", "65536"),
        ("timeout", "0"),
        ("timeout", "256"),
        ("tsize", ""),
        ("rollover", "2"),
        ("tsize", "9" * 400),
    ],
)
def test_what_cannot_be_used_is_left_out(option):
    assert agree(option) == Terms()


def test_an_upload_announces_its_size():
    terms = agree(("tsize", "77"), write=True, size=None)
    assert (terms.size, terms.accepted) == (77, (("tsize", "77"),))


@given(
    st.lists(st.tuples(st.sampled_from(["blksize", "windowsize", "timeout", "tsize", "rollover"]), st.text()))
)
def test_any_values_give_usable_terms(options):
    terms = agree(*options)
    assert 8 <= terms.blksize <= 1468
    assert 1 <= terms.windowsize <= 64
    assert {name for name, _ in terms.accepted} <= {name for name, _ in options}
