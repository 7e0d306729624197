"""What PXE firmware is told in option 43: menus, servers, and the item it chose; whatever bytes it sends."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from dhcp_house import MAC, SERVER, Net, discover, http, ipxe, message, pxe, select
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP

from pxe.dhcp import codes, vendor, wire
from pxe.dhcp.codes import Kind
from pxe.dhcp.replies import Way
from pxe.dhcp.subnet import build_subnet
from pxe.dhcp.vendor import Entry, Vendor, build, parse
from pxe.errors import SettingError

MINE = IPv4Address("10.77.0.150")
# As the specification lays it out: 43.6 = 7; 43.8 type, count, address; 43.9 type, length, text; 43.10
MENU = (
    b"\x06\x01\x07"
    b"\x08\x07\x80\x00\x01\x0a\x4d\x00\x01"
    b"\x09\x2d\x80\x00\x15Boot from the network\x00\x00\x12Boot from the disk"
    b"\x0a\x1b\x05Press F8 for the boot menu"
    b"\xff"
)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
KIND = st.integers(0, 0xFFFF)
ENTRIES = st.lists(
    st.builds(Entry, KIND, TEXT, st.lists(st.ip_addresses(v=4), max_size=3).map(tuple)),
    max_size=6, unique_by=lambda entry: entry.kind,
).map(tuple)  # fmt: skip


@st.composite
def vendors(draw: st.DrawFn) -> Vendor:
    prompt = draw(st.none() | TEXT)
    return Vendor(
        draw(st.none() | st.integers(0, 255)),
        draw(ENTRIES),
        prompt,
        draw(st.integers(0, 255)) if prompt is not None else 0,
        draw(st.none() | st.tuples(KIND, KIND)),
    )


class TestBytes:
    @given(vendors())
    def test_there_and_back(self, said: Vendor) -> None:
        assert parse(build(said)) == said

    @given(vendors(), st.data())
    def test_cut_off_anywhere(self, said: Vendor, data: st.DataObject) -> None:
        whole = build(said)
        found = parse(whole[: data.draw(st.integers(0, len(whole)))])
        assert found.control in (None, said.control) and found.item in (None, said.item)
        assert found.prompt in (None, said.prompt)
        texts = tuple(entry.text for entry in said.entries)
        assert tuple(entry.text for entry in found.entries) in ((), texts)

    @given(st.binary(max_size=300))
    def test_any_bytes(self, data: bytes) -> None:
        found = parse(data)
        for entry in found.entries:
            assert 0 <= entry.kind <= 0xFFFF
        assert found.control is None or 0 <= found.control <= 255

    def test_as_the_specification_has_it(self) -> None:
        assert build(vendor.menu(SERVER, 5)) == MENU
        assert parse(MENU) == vendor.menu(SERVER, 5)

    @pytest.mark.parametrize(
        "said",
        [
            Vendor(control=256), Vendor(entries=(Entry(0x10000, "x"),)), Vendor(entries=(Entry(1, "\n"),)),
            Vendor(prompt="ä"), Vendor(prompt="x", seconds=-1), Vendor(item=(1, 70000)),
            Vendor(prompt="x" * 255), Vendor(entries=tuple(Entry(n, "x" * 100) for n in range(3))),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_refused(self, said: Vendor) -> None:
        with pytest.raises(ValueError):
            build(said)


class TestMenu:
    @pytest.mark.parametrize("mode", ["proxy", "authoritative"])
    def test_firmware_is_offered_one(self, mode: str) -> None:
        net = Net(mode=mode, pxe_menu=5)
        reply = net.ask(discover(options=pxe(0)))
        assert reply is not None
        assert reply.packet.options[43] == MENU
        assert reply.packet.options[60] == b"PXEClient"
        data, _ = wire.build_fitting(reply.packet, reply.limit, frozenset())
        assert dict(o for o in BOOTP(data)[DHCP].options if isinstance(o, tuple))["vendor_specific"] == MENU

    def test_the_choice_is_answered_at_4011(self) -> None:
        net = Net(mode="proxy", pxe_menu=5)
        chosen = {**pxe(0), 43: build(Vendor(item=(vendor.OURS, 0)))}
        request = message(Kind.REQUEST, options=chosen, ciaddr=MINE)
        reply = net.ask(request, port=4011, source=MINE, source_port=4011)
        assert reply is not None
        assert (reply.kind, reply.way, reply.via) == (Kind.ACK, Way.ROUTED, 4011)
        assert parse(reply.packet.options[43]) == Vendor(vendor.THIS_FILE, item=(vendor.OURS, 0))
        assert reply.packet.file == b"undionly.kpxe"

    @pytest.mark.parametrize("options", [ipxe(), http(), {}])
    def test_nobody_else_is(self, options: dict[int, bytes]) -> None:
        net = Net(pxe_menu=5)
        offer = net.ask(discover(options=options))
        assert offer is not None
        assert codes.VENDOR_INFO not in offer.packet.options
        ack = net.ask(select(offer, MAC, options))
        assert ack is not None
        assert codes.VENDOR_INFO not in ack.packet.options

    def test_without_one_an_authority_says_nothing(self) -> None:
        offer = Net().ask(discover(options=pxe(0)))
        assert offer is not None
        assert not {43, 60} & set(offer.packet.options)

    @pytest.mark.parametrize("seconds", [-1, 255, True, "5", 1.5])
    def test_other_settings_are_refused(self, seconds: object) -> None:
        with pytest.raises(SettingError, match="seconds"):
            build_subnet({"cidr": "10.77.0.0/24", "pxe_menu": seconds})
