"""The Router Advertisement for a waiting iPXE: scapy reads it as we mean it, and nobody else gets one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dhcp_house import Net, discover, http, ipxe, pxe, select
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, IPv6

from pxe.dhcp import advert
from pxe.dhcp.replies import Way

OURS, THEIRS = bytes.fromhex("0200c0ffee01"), bytes.fromhex("525400770001")


def test_it_makes_nobody_a_router_and_gives_no_address() -> None:
    packet = IPv6(advert.build(OURS, THEIRS))
    assert (packet.src, packet.dst, packet.hlim) == ("fe80::c0ff:feff:ee01", "fe80::5054:ff:fe77:1", 255)
    said = packet[ICMPv6ND_RA]
    assert (said.routerlifetime, said.M, said.O, said.chlim) == (0, 0, 0, 64)
    assert packet[ICMPv6NDOptSrcLLAddr].lladdr == "02:00:c0:ff:ee:01"
    given = said.cksum
    del said.cksum
    assert IPv6(bytes(packet))[ICMPv6ND_RA].cksum == given


def offered(options: dict[int, bytes], mode: str = "authoritative") -> list[bool]:
    """For the OFFER and, from an authority, the ACK."""
    net = Net(mode=mode)
    offer = net.ask(discover(options=options))
    assert offer is not None
    answers = [offer]
    if mode == "authoritative":
        ack = net.ask(select(offer, options=options))
        assert ack is not None
        answers.append(ack)
    return [advert.wanted(answer) for answer in answers]


@pytest.mark.parametrize("options", [ipxe(), ipxe((1, 0, 0), ntp=False)])
def test_ipxe_gets_one_with_its_offer(options: dict[int, bytes]) -> None:
    assert offered(options)[0] is True and not any(offered(options)[1:])


@pytest.mark.parametrize("options", [{}, pxe(0), pxe(7), http(16)])
def test_others_get_none(options: dict[int, bytes]) -> None:
    assert not any(offered(options))


def test_nobody_gets_one_where_another_server_rules_or_behind_a_relay() -> None:
    assert offered(ipxe(), "proxy") == [False]
    offer = Net().ask(discover(options=ipxe()))
    assert offer is not None and advert.wanted(offer)
    assert not advert.wanted(replace(offer, way=Way.ROUTED))
