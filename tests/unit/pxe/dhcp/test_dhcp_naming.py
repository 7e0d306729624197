"""What clients are called: by the registry, by themselves, by their address; never two by one name."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Any

import pytest
from dhcp_house import FIRST, MAC, OTHER, House, Net, discover, select
from hypothesis import given
from hypothesis import strategies as st

from pxe.dhcp import codes
from pxe.dhcp.labels import clean, from_pattern
from pxe.dhcp.naming import answer_fqdn
from pxe.dhcp.ports import Host
from pxe.dhcp.subnet import build_subnet
from pxe.errors import SettingError

LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
SECOND = FIRST + 1


def called(text: bytes, **more: bytes) -> dict[int, bytes]:
    return {codes.HOST_NAME: text, codes.PARAMETER_LIST: bytes((1, 3, 12, 15))}


def names(net: Net) -> dict[str, str]:
    return {str(lease.address): lease.hostname for lease in net.house.kept.values()}


def sent(net: Net, mac: str = MAC, options: dict[int, bytes] | None = None) -> dict[int, bytes]:
    """The options of the ACK; the OFFER names the client the same."""
    offer = net.ask(discover(mac, options))
    assert offer is not None
    ack = net.ask(select(offer, mac, options))
    assert ack is not None
    for code in (codes.HOST_NAME, codes.CLIENT_FQDN):
        assert offer.packet.options.get(code) == ack.packet.options.get(code)
    return dict(ack.packet.options)


class TestWho:
    def test_the_registry_first(self) -> None:
        net = Net(House({MAC: Host("n1", None)}), dynamic_names="dyn-{ip}")
        assert sent(net, options=called(b"my-laptop"))[codes.HOST_NAME] == b"n1"
        assert names(net) == {"10.77.0.100": "n1"}

    def test_then_the_client(self) -> None:
        net = Net(dynamic_names="dyn-{ip}")
        assert sent(net, options=called(b"My-Laptop.home.lan"))[codes.HOST_NAME] == b"my-laptop"
        assert names(net) == {"10.77.0.100": "my-laptop"}

    def test_then_the_address(self) -> None:
        net = Net(dynamic_names="dyn-{ip}")
        assert sent(net, options={codes.PARAMETER_LIST: b"\x0c"})[codes.HOST_NAME] == b"dyn-10-77-0-100"

    def test_or_nothing(self) -> None:
        net = Net()
        assert codes.HOST_NAME not in sent(net, options={codes.PARAMETER_LIST: b"\x0c"})
        assert names(net) == {"10.77.0.100": ""}

    def test_clients_may_not_name_themselves_where_that_is_so(self) -> None:
        net = Net(client_names=False, dynamic_names="c-{mac}")
        assert sent(net, options=called(b"laptop"))[codes.HOST_NAME] == b"c-525400000001"

    def test_only_who_asks_is_told(self) -> None:
        net = Net(dynamic_names="dyn-{ip}")
        assert codes.HOST_NAME not in sent(net, options={codes.PARAMETER_LIST: b"\x01"})
        assert names(net) == {"10.77.0.100": "dyn-10-77-0-100"}


class TestConflicts:
    def test_a_registered_name_is_nobody_elses(self) -> None:
        net = Net(House({OTHER: Host("n1", None)}))
        net.lease(options=called(b"N1"))
        assert names(net) == {"10.77.0.100": "n1-10-77-0-100"}

    def test_the_first_keeps_it(self) -> None:
        net = Net()
        net.lease(MAC, options=called(b"laptop"))
        net.lease(OTHER, options=called(b"laptop"))
        assert names(net) == {"10.77.0.100": "laptop", "10.77.0.101": "laptop-10-77-0-101"}
        net.lease(MAC, options=called(b"laptop"))
        assert names(net)["10.77.0.100"] == "laptop"

    def test_until_its_lease_ends(self) -> None:
        net = Net()
        net.lease(MAC, options=called(b"laptop"))
        net.now += 3601
        net.lease(OTHER, options=called(b"laptop"))
        assert names(net)["10.77.0.101"] == "laptop"

    def test_or_it_calls_itself_something_else(self) -> None:
        net = Net()
        net.lease(MAC, options=called(b"laptop"))
        net.lease(MAC, options=called(b"tablet"))
        net.lease(OTHER, options=called(b"laptop"))
        assert names(net) == {"10.77.0.100": "tablet", "10.77.0.101": "laptop"}

    def test_also_after_a_restart(self) -> None:
        net = Net()
        net.lease(MAC, options=called(b"laptop"))
        again = Net(net.house)
        again.lease(OTHER, options=called(b"laptop"))
        assert names(again)["10.77.0.101"] == "laptop-10-77-0-101"

    def test_with_a_pattern_the_second_has_its_address(self) -> None:
        net = Net(dynamic_names="dyn-{ip}")
        net.lease(MAC, options=called(b"laptop"))
        net.lease(OTHER, options=called(b"laptop"))
        assert names(net)["10.77.0.101"] == "dyn-10-77-0-101"

    @pytest.mark.parametrize("name", [b"wpad", b"ISATAP", b"localhost", b"localhost.localdomain", b"12345"])
    def test_names_that_would_mislead_others(self, name: bytes) -> None:
        net = Net(dynamic_names="dyn-{ip}")
        net.lease(options=called(name))
        assert names(net) == {"10.77.0.100": "dyn-10-77-0-100"}


class TestFqdnRfc4702:
    WIRE = b"\x06laptop\x04home\x00"

    @pytest.mark.parametrize(
        ("asked", "answer"),
        [
            (b"\x05\0\0" + WIRE, b"\x05\xff\xff\x06laptop\x07cluster\x04test\x00"),  # S: we keep the record
            (b"\x04\0\0" + WIRE, b"\x07\xff\xff\x06laptop\x07cluster\x04test\x00"),  # it would: O says we do
            (b"\x01\0\0laptop", b"\x01\xff\xfflaptop.cluster.test"),
            (b"\x00\0\0laptop.home.", b"\x03\xff\xfflaptop.cluster.test"),
            (b"\x0c\0\0" + WIRE, b"\x0c\xff\xff"),  # N: no records are wanted, so none are kept
            (b"\x05\0\0\0", b"\x0e\xff\xff"),  # no name, and no pattern
        ],
    )
    def test_the_answer(self, asked: bytes, answer: bytes) -> None:
        assert sent(Net(), options={codes.CLIENT_FQDN: asked})[codes.CLIENT_FQDN] == answer

    def test_a_registered_node_has_its_records_whatever_it_asks(self) -> None:
        net = Net(House({MAC: Host("n1", None)}))
        answer = sent(net, options={codes.CLIENT_FQDN: b"\x0c\0\0" + self.WIRE})[codes.CLIENT_FQDN]
        assert answer == b"\x07\xff\xff\x02n1\x07cluster\x04test\x00"

    def test_who_wants_no_records_gets_none(self) -> None:
        net = Net()
        net.lease(options={codes.CLIENT_FQDN: b"\x0c\0\0" + self.WIRE})
        assert names(net) == {"10.77.0.100": ""}

    def test_who_does_not_send_it_is_not_sent_it(self) -> None:
        assert codes.CLIENT_FQDN not in sent(Net(), options=called(b"laptop"))

    @given(st.binary(max_size=300), st.sampled_from(["", "n1", "x" * 63]), st.sampled_from(["", "a.test"]))
    def test_any_question(self, asked: bytes, name: str, domain: str) -> None:
        answer = answer_fqdn(asked, name, domain)
        assert len(answer) <= 255
        if len(asked) < 3:
            assert answer == b""
            return
        flags = answer[0]
        assert flags & 0xF0 == 0  # those must be zero
        assert flags & 4 == asked[0] & 4
        assert not (flags & 1 and flags & 8)  # S and N exclude each other
        assert bool(flags & 2) == bool((flags ^ asked[0]) & 1)


class TestLabels:
    @given(st.text(max_size=300))
    def test_whatever_a_client_says(self, text: str) -> None:
        label = clean(text)
        assert label == "" or (LABEL.match(label) and not label.isdigit())
        assert clean(label) == label

    @given(st.ip_addresses(v=4), st.integers(0, 2**48 - 1))
    def test_a_pattern_makes_labels(self, address: IPv4Address, number: int) -> None:
        mac = number.to_bytes(6, "big").hex(":")
        for pattern in ("dyn-{ip}", "{mac}-x", "a{ip}b{mac}"):
            assert LABEL.match(from_pattern(pattern, mac, address))

    @pytest.mark.parametrize(
        "pattern", ["dyn", "{name}-{ip}", "-{ip}", "{ip}.x", "Dyn-{ip}", "x" * 60 + "{ip}"]
    )
    def test_others_are_refused(self, pattern: str) -> None:
        table: dict[str, Any] = {"cidr": "10.77.0.0/24", "dynamic_names": pattern}
        with pytest.raises(SettingError) as raised:
            build_subnet(table)
        assert raised.value.key == "dynamic_names"
