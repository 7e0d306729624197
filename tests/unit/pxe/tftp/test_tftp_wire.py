"""Wire format by RFC 1350 and 2347, and the law: any bytes parse or raise WireError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.errors import WireError
from pxe.tftp.wire import Ack, Data, Error, Oack, Request, build, parse

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NUMBER = st.integers(0, 65535)
NAME = TEXT.map(str.lower).filter(lambda t: bool(t) and t == t.lower())
PAIRS = st.dictionaries(NAME, TEXT, max_size=5).map(lambda d: tuple(d.items()))
PACKETS = st.one_of(
    st.builds(Request, st.booleans(), TEXT, st.sampled_from(["octet", "netascii"]), PAIRS),
    st.builds(Data, NUMBER, st.binary(max_size=600)),
    st.builds(Ack, NUMBER),
    st.builds(Error, NUMBER, TEXT),
    st.builds(Oack, PAIRS),
)

# As sent by firmware, byte by byte.
OVMF = b"\0\1ipxe.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0"
SAMPLES = [
    OVMF,
    b"\0\1undionly.kpxe\0octet\0blksize\x001456\0",
    b"\0\2up\0netascii\0",
    b"\0\3\0\1" + bytes(512),
    b"\0\4\xff\xff",
    b"\0\5\0\1File not found\0",
    b"\0\6blksize\x001432\0tsize\x0012345\0",
]


def parses_or_refuses(raw: bytes) -> None:
    try:
        packet = parse(raw)
    except WireError as error:
        assert str(error)
    else:
        assert parse(build(packet)) == packet


@given(PACKETS)
def test_what_is_built_parses_to_the_same(packet):
    if isinstance(packet, Oack) and not packet.options:
        return  # an OACK without options is too short to be one
    assert parse(build(packet)) == packet


@given(st.binary(max_size=700))
def test_any_bytes_parse_or_are_refused(raw):
    parses_or_refuses(raw)


@given(st.sampled_from([1, 2, 3, 4, 5, 6]), st.binary(max_size=300))
def test_any_bytes_behind_a_known_opcode(opcode, rest):
    parses_or_refuses(bytes((0, opcode)) + rest)


@pytest.mark.parametrize("raw", SAMPLES)
def test_every_truncation_and_every_bit_flip(raw):
    for end in range(min(len(raw), 80)):
        parses_or_refuses(raw[:end])
    for bit in range(min(len(raw), 80) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        parses_or_refuses(bytes(flipped))


def test_a_request_of_ovmf():
    options = (("tsize", "0"), ("blksize", "1468"), ("windowsize", "4"))
    assert parse(OVMF) == Request(False, "ipxe.efi", "octet", options)


def test_mode_and_option_names_have_no_case():
    assert parse(b"\0\1f\0OcTeT\0BlkSize\x008\0") == Request(False, "f", "octet", (("blksize", "8"),))


def test_bytes_that_are_not_utf8_are_kept():
    assert parse(b"\0\1boot\xff\0octet\0").filename == "boot\xff"


def test_padding_and_half_an_option_are_ignored():
    assert parse(b"\0\1f\0octet\0blksize\x00512\0tsize").options == (("blksize", "512"),)


def test_the_first_of_a_repeated_option_counts():
    assert parse(b"\0\1f\0octet\0tsize\x001\0tsize\x002\0").options == (("tsize", "1"),)


@pytest.mark.parametrize("raw", [b"\0\1", b"\0\1name", b"\0\1n\0octet", b"\0\1n\0mail\0", b"\0\7\0\0", b"\0"])
def test_refused(raw):
    with pytest.raises(WireError):
        parse(raw)
