"""IPv4 and UDP by hand: right by scapy's reckoning, and safe against anything overheard."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe.dhcp.frame import Datagram, build, parse
from pxe.errors import WireError

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
ports = st.integers(0, 65535)
datagrams = st.builds(Datagram, addresses, ports, addresses, ports, st.binary(max_size=600))


@settings(deadline=None)
@given(datagrams)
def test_round_trip(datagram: Datagram) -> None:
    assert parse(build(datagram)) == datagram


@settings(deadline=None)
@given(datagrams)
def test_scapy_agrees_with_both_checksums(datagram: Datagram) -> None:
    from scapy.layers.inet import IP, UDP

    ours = build(datagram)
    theirs = IP(ours)
    for layer in (theirs, theirs[UDP]):
        del layer.chksum
    again = IP(bytes(theirs))
    assert again.chksum == IP(ours).chksum and again[UDP].chksum == IP(ours)[UDP].chksum


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        parse(data)
    except WireError:
        pass


def test_every_truncation() -> None:
    whole = build(Datagram(IPv4Address(1), 68, IPv4Address(2), 67, b"x" * 300))
    for size in range(len(whole)):
        with pytest.raises(WireError):
            parse(whole[:size])


@pytest.mark.parametrize(
    "where, value", [(0, 0x65), (0, 0x44), (9, 6), (6, 0x20), (7, 1), (24, 0), (24, 255)]
)
def test_what_is_no_whole_udp_datagram(where: int, value: int) -> None:
    data = bytearray(build(Datagram(IPv4Address(1), 68, IPv4Address(2), 67, b"x" * 252)))
    data[where] = value
    with pytest.raises(WireError):
        parse(bytes(data))
