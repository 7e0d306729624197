"""An old iPXE is sent ours once, never in circles."""

from __future__ import annotations

import pytest
from dhcp_house import MAC, Net, discover, ipxe, message, select

from pxe.dhcp.chain import WINDOW_SECONDS
from pxe.dhcp.codes import Kind

OLD = ipxe((1, 0, 0), arch=0, ntp=False)


def boot(net: Net) -> str:
    """One way through DHCP; the file it ends with."""
    offer = net.ask(discover(options=OLD))
    assert offer is not None
    ack = net.ask(select(offer, options=OLD))
    assert ack is not None and ack.packet.file == offer.packet.file
    return ack.packet.file.decode()


class TestAuthority:
    def test_loader_then_script(self) -> None:
        """Both stages look the same on the wire."""
        net = Net()
        assert boot(net) == "undionly.kpxe"
        net.now += 15
        assert boot(net).startswith("http://")

    def test_the_next_boot_begins_anew(self) -> None:
        net = Net()
        for _ in range(3):
            assert boot(net) == "undionly.kpxe"
            net.now += 15
            assert boot(net).startswith("http://")
            net.now += 15

    def test_much_later_it_is_another_boot(self) -> None:
        net = Net()
        boot(net)
        net.now += WINDOW_SECONDS + 1
        assert boot(net) == "undionly.kpxe"

    def test_a_repeated_discover_is_no_new_stage(self) -> None:
        net = Net()
        for _ in range(4):
            offer = net.ask(discover(options=OLD))
            assert offer is not None and offer.packet.file == b"undionly.kpxe"
            net.now += 3


class TestProxy:
    @pytest.mark.parametrize("seconds", [5, 60])
    def test_the_request_to_the_other_server_is_overheard(self, seconds: int) -> None:
        net = Net(mode="proxy")
        first = net.ask(discover(options=OLD))
        assert first is not None and first.packet.file == b"undionly.kpxe"
        assert (
            net.ask(message(Kind.REQUEST, MAC, {**OLD, 50: b"\x0a\x4d\0\x96", 54: b"\x0a\x4d\0\xfe"})) is None
        )
        net.now += seconds
        second = net.ask(discover(options=OLD))
        assert second is not None and second.packet.file.startswith(b"http://")
