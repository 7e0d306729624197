"""The DHCP codec: RFC 2131 section 2, RFC 3396, and the fuzz law."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pxe_bytes import scapy_dhcp

from pxe.dhcp import wire
from pxe.dhcp.wire import Packet, TooLong, build, build_fitting, parse
from pxe.errors import WireError

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
codes = st.integers(1, 254).filter(lambda code: code != wire.OVERLOAD)
texts = st.binary(max_size=60).map(lambda text: text.replace(b"\0", b"x"))
packets = st.builds(
    Packet,
    op=st.sampled_from((1, 2)),
    htype=st.integers(0, 255),
    hops=st.integers(0, 255),
    xid=st.integers(0, 2**32 - 1),
    secs=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    chaddr=st.binary(max_size=16),
    sname=texts,
    file=texts,
    options=st.dictionaries(codes, st.binary(max_size=300), max_size=8),
)
SAMPLE = Packet(
    xid=0x3903F326,
    flags=wire.BROADCAST,
    chaddr=bytes.fromhex("525400000001"),
    options={
        53: b"\1",
        61: b"\1\x52\x54\0\0\0\1",
        55: bytes((1, 3, 6)),
        60: b"PXEClient:Arch:00007",
        93: b"\0\7",
    },
)


class TestRoundTrip:
    @given(packets)
    def test_what_is_built_is_parsed_to_the_same(self, packet: Packet) -> None:
        assert parse(build(packet, 65535)) == packet

    @given(packets, st.integers(wire.MIN_LENGTH, 1472))
    def test_a_limit_is_kept_or_refused(self, packet: Packet, limit: int) -> None:
        try:
            data = build(packet, limit)
        except TooLong:
            return
        assert len(data) <= limit
        assert parse(data) == packet

    def test_the_order_of_options_is_kept(self) -> None:
        assert list(parse(build(SAMPLE)).options) == [53, 61, 55, 60, 93]

    def test_shortest_message(self) -> None:
        """RFC 1542 section 2.1."""
        assert len(build(Packet())) == 300

    @pytest.mark.parametrize("field", [{"xid": -1}, {"xid": 2**32}, {"flags": 65536}, {"htype": 256}])
    def test_numbers_out_of_range(self, field: dict[str, int]) -> None:
        with pytest.raises(WireError):
            build(Packet(**field))  # type: ignore[arg-type]

    @pytest.mark.parametrize("code", [0, 52, 255, 256])
    def test_codes_that_are_no_options(self, code: int) -> None:
        with pytest.raises(WireError):
            build(Packet(options={code: b"x"}))

    def test_texts_too_long(self) -> None:
        with pytest.raises(WireError):
            build(Packet(file=b"x" * 129))
        with pytest.raises(WireError):
            build(Packet(chaddr=b"x" * 17))


class TestOverloadRfc2131Section4Point1:
    def test_options_overflow_into_file_and_sname(self) -> None:
        packet = Packet(options={53: b"\5", 15: b"a" * 210, 17: b"b" * 120, 40: b"c" * 61})
        data = build(packet, 512)
        assert len(data) <= 512
        assert bytes((52, 1, 3)) in data
        assert parse(data) == packet

    def test_a_text_is_not_overwritten(self) -> None:
        packet = Packet(file=b"undionly.kpxe", options={53: b"\5", 15: b"a" * 250, 40: b"c" * 50})
        data = build(packet, 512)
        assert bytes((52, 1, 2)) in data
        assert parse(data) == packet
        with pytest.raises(TooLong):
            build(Packet(file=b"x", sname=b"y", options={15: b"a" * 250, 40: b"c" * 50}), 512)

    @pytest.mark.parametrize("value", [b"", b"\0", b"\4", b"\1\1"])
    def test_a_nonsense_overload_is_refused(self, value: bytes) -> None:
        data = build(Packet())[:240] + bytes((52, len(value))) + value + b"\xff"
        with pytest.raises(WireError, match="overload"):
            parse(data)

    def test_overload_inside_an_overloaded_field_means_nothing(self) -> None:
        data = bytearray(build(Packet()))
        data[240:244] = bytes((52, 1, 1, 255))
        data[108:114] = bytes((52, 1, 2, 12, 1, 65))
        assert parse(bytes(data)).options == {12: b"A"}


class TestLongOptionsRfc3396:
    def test_split_and_joined(self) -> None:
        packet = Packet(options={119: bytes(range(256)) * 2})
        data = build(packet, 1472)
        assert data[240:242] == bytes((119, 255)) and data[497:499] == bytes((119, 255))
        assert parse(data) == packet

    def test_parts_in_different_fields_are_joined_in_order(self) -> None:
        packet = Packet(options={121: b"1" * 255 + b"2" * 100})
        assert parse(build(packet, 548)) == packet


class TestLeavingOut:
    def test_a_bootp_reply_keeps_its_file_field_for_the_file(self) -> None:
        packet = Packet(op=2, options={1: b"\xff" * 4, 15: b"x" * 60, 6: b"\x0a" * 4})
        data, dropped = build_fitting(packet, 300, frozenset())
        assert dropped and data[108:236] == bytes(128)
        assert 52 not in parse(data).options and parse(data).options[1] == b"\xff" * 4

    def test_from_the_end_but_not_the_essential(self) -> None:
        packet = Packet(options={53: b"\5", 15: b"d" * 100, 17: b"r" * 250, 43: b"v" * 30, 82: b"o" * 40})
        data, dropped = build_fitting(packet, 300, frozenset({53, 82}))
        assert len(data) <= 300 and 17 in dropped
        assert {53, 82} <= set(parse(data).options)
        with pytest.raises(TooLong):
            build_fitting(packet, 300, frozenset({17, 53}))


    def test_a_long_option_does_not_cost_the_short_ones_behind_it(self) -> None:
        packet = Packet(options={53: b"\2", 17: b"r" * 700, 26: b"\5\xdc", 42: b"\x0a" * 4, 43: b"v" * 600})
        data, dropped = build_fitting(packet, 548, frozenset({53}))
        assert set(dropped) == {17, 43}
        assert parse(data).options == {53: b"\2", 26: b"\5\xdc", 42: b"\x0a" * 4}


class TestFuzzLaw:
    @settings(max_examples=500, deadline=None)
    @given(st.binary(max_size=700))
    def test_any_bytes(self, data: bytes) -> None:
        self.law(data)

    @settings(max_examples=500, deadline=None)
    @given(st.binary(max_size=400))
    def test_any_options(self, data: bytes) -> None:
        self.law(build(SAMPLE)[:240] + data)

    @given(packets, st.data())
    def test_a_flipped_bit(self, packet: Packet, data: st.DataObject) -> None:
        whole = bytearray(build(packet, 65535))
        bit = data.draw(st.integers(0, len(whole) * 8 - 1))
        whole[bit // 8] ^= 1 << bit % 8
        self.law(bytes(whole))

    @pytest.mark.parametrize(
        "packet", [SAMPLE, Packet(options={15: b"a" * 250, 17: b"b" * 100, 43: b"c" * 50})]
    )
    def test_every_truncation(self, packet: Packet) -> None:
        whole = build(packet, 548)
        for size in range(len(whole)):
            self.law(whole[:size])

    def law(self, data: bytes) -> None:
        try:
            packet = parse(data)
        except WireError:
            return
        assert parse(build(packet, 1 << 17)) == packet

    @pytest.mark.parametrize("where, value", [(0, 0), (0, 3), (2, 17)])
    def test_bad_fixed_fields(self, where: int, value: int) -> None:
        data = bytearray(build(SAMPLE))
        data[where] = value
        with pytest.raises(WireError):
            parse(bytes(data))

    def test_no_cookie_is_bootp(self) -> None:
        assert parse(build(SAMPLE)[:236] + bytes(64)).options == {}


class TestAgainstScapy:
    """An independent codec reads what we write and writes what we read."""

    @settings(max_examples=50, deadline=None)
    @given(packets.filter(lambda p: not any(len(value) > 255 for value in p.options.values())))
    def test_it_reads_ours(self, packet: Packet) -> None:
        fields, options = scapy_dhcp(build(packet, 65535))
        for name in ("op", "htype", "hops", "xid", "secs"):
            assert fields[name] == getattr(packet, name), name
        for name in ("ciaddr", "yiaddr", "siaddr", "giaddr"):
            assert fields[name] == str(getattr(packet, name))
        assert options == dict(packet.options)

    def test_we_read_its(self) -> None:
        from scapy.layers.dhcp import BOOTP, DHCP

        theirs = BOOTP(op=1, xid=77, chaddr=bytes.fromhex("525400000001"), ciaddr="10.0.0.9") / DHCP(
            options=[
                ("message-type", "request"),
                ("server_id", "10.0.0.1"),
                ("param_req_list", [1, 3]),
                ("hostname", b"n1"),
                "end",
            ]
        )
        packet = parse(bytes(theirs))
        assert (packet.xid, packet.ciaddr, packet.chaddr[:6]) == (77, IPv4Address("10.0.0.9"), SAMPLE.chaddr)
        assert packet.options == {53: b"\3", 54: bytes((10, 0, 0, 1)), 55: b"\1\3", 12: b"n1"}
