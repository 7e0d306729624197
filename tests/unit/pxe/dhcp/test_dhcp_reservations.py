"""Addresses that are a host's own, inside and outside of pools, and what else its record brings."""

from __future__ import annotations

from dhcp_house import (
    FAR,
    FIRST,
    HOST,
    MAC,
    OTHER,
    RESERVED,
    House,
    Net,
    discover,
    message,
    select,
)

from pxe.dhcp import codes
from pxe.dhcp.codes import Kind
from pxe.dhcp.ports import Host


class TestReservations:
    def test_by_mac(self) -> None:
        net = Net(House(hosts={MAC: HOST}))
        assert net.lease(MAC) == RESERVED

    def test_inside_a_pool_nobody_else_gets_it(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", FIRST)}))
        assert net.lease(OTHER) == FIRST + 1
        wish = net.ask(discover("52:54:00:00:00:03", {codes.REQUESTED_ADDRESS: FIRST.packed}))
        assert wish is not None and wish.packet.yiaddr == FIRST + 2
        assert net.lease(MAC) == FIRST

    def test_while_a_stranger_still_holds_it(self) -> None:
        net = Net()
        assert net.lease(OTHER) == FIRST
        net.house.hosts[MAC] = Host("n1", FIRST)
        out = net.handle(discover(MAC))
        assert out.replies[0].packet.yiaddr == FIRST + 1
        assert any(OTHER in note.text for note in out.notes)
        renew = message(Kind.REQUEST, OTHER, ciaddr=FIRST)
        nak = net.ask(renew, source=FIRST)
        assert nak is not None and nak.kind is Kind.NAK
        net.now += 3601
        assert net.lease(MAC) == FIRST

    def test_a_new_reservation_moves_its_host(self) -> None:
        net = Net()
        net.lease(MAC)
        net.house.hosts[MAC] = HOST
        nak = net.ask(message(Kind.REQUEST, ciaddr=FIRST), source=FIRST)
        assert nak is not None and nak.kind is Kind.NAK
        assert nak.packet.options[codes.MESSAGE] == b"reserved for you is 10.77.0.11"
        assert net.lease(MAC) == RESERVED

    def test_two_cards_of_one_host(self) -> None:
        net = Net(House(hosts={MAC: HOST, OTHER: HOST}))
        assert net.lease(MAC) == RESERVED
        assert net.lease(OTHER) == RESERVED

    def test_plugged_in_elsewhere_it_is_a_guest(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", FAR)}))
        assert net.lease(MAC) == FIRST

    def test_name_and_options_of_the_host(self) -> None:
        host = Host(
            "n1", RESERVED, {"interface-mtu": 9000, "ntp-servers": ["10.77.0.7"], "dhcp-lease-time": 90}
        )
        net = Net(House(hosts={MAC: host}), options={"ntp-servers": ["10.77.0.1"], "nis-domain": "x"})
        reply = net.ask(discover(options={codes.PARAMETER_LIST: bytes((12, 26, 42, 40))}))
        assert reply is not None
        options = reply.packet.options
        assert (options[12], options[26], options[42], options[40]) == (
            b"n1",
            b"\x23\x28",
            b"\x0a\x4d\0\7",
            b"x",
        )
        assert options[codes.LEASE_TIME] == (90).to_bytes(4, "big")

    def test_an_option_that_cannot_be_written_is_left_out_and_told(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", RESERVED, {"interface-mtu": 5})}))
        out = net.handle(discover())
        assert len(out.replies) == 1 and out.notes[1].kind == "dhcp.option"
        assert "interface-mtu" in out.notes[1].text

    def test_reservations_may_leave_although_nothing_could_be_stored(self) -> None:
        net = Net(House(hosts={MAC: HOST}))
        offer = net.ask(discover())
        assert offer is not None
        ack = net.ask(select(offer))
        assert ack is not None and ack.safe and ack.change is not None
        guest = net.ask(discover(OTHER))
        assert guest is not None
        assert not guest.safe
