"""What an answer holds beside the address: options that were asked for, and what to boot."""

from __future__ import annotations

from dhcp_house import (
    MAC,
    SERVER,
    House,
    Net,
    discover,
    http,
    ipxe,
    pxe,
)

from pxe.dhcp import codes, wire


class TestOptions:
    def test_in_the_order_asked_for_and_nothing_else(self) -> None:
        net = Net(
            options={"ntp-servers": ["10.77.0.1"], "domain-name-servers": ["10.77.0.1"], "nis-domain": "x"}
        )
        reply = net.ask(discover(options={codes.PARAMETER_LIST: bytes((42, 6, 3, 99, 1))}))
        assert reply is not None
        assert list(reply.packet.options) == [53, 54, 51, 1, 42, 6, 3]

    def test_all_of_them_for_a_client_that_does_not_say(self) -> None:
        reply = Net(options={"nis-domain": "x"}).ask(discover())
        assert reply is not None
        assert {1, 3, 15, 28, 40} <= set(reply.packet.options)
        assert reply.packet.options[15] == b"cluster.test"

    def test_size_limit(self) -> None:
        net = Net()
        for asked, limit in (
            (b"", 548),
            (b"\x02\x40", 548),
            (b"\x05\xc0", 1444),
            (b"\xff\xff", 1472),
            (b"\0\0", 548),
        ):
            options = {codes.MAX_SIZE: asked} if asked else {}
            reply = net.ask(discover(options=options))
            assert reply is not None and reply.limit == limit

    def test_vendor_class_is_not_sent_unasked(self) -> None:
        reply = Net(options={"vendor-class-identifier": "x"}).ask(discover())
        assert reply is not None and codes.VENDOR_CLASS not in reply.packet.options


class TestBoot:
    def test_firmware_gets_file_and_server(self) -> None:
        reply = Net().ask(discover(options=pxe(0)))
        assert reply is not None
        packet = reply.packet
        assert packet.file == b"undionly.kpxe" and packet.siaddr == SERVER
        assert packet.options[67] == b"undionly.kpxe\0" and packet.options[66] == b"10.77.0.1"
        assert packet.options[97] == pxe()[97]

    def test_http_boot(self) -> None:
        reply = Net().ask(discover(options=http()))
        assert reply is not None
        assert reply.packet.options[60] == b"HTTPClient"
        assert reply.packet.options[67] == f"http://10.77.0.1:8080/boot/{MAC}".encode()

    def test_ipxe_gets_a_url_and_need_not_wait_for_a_proxy(self) -> None:
        reply = Net().ask(discover(options=ipxe()))
        assert reply is not None
        assert reply.packet.file == f"http://10.77.0.1:8080/boot/{MAC}".encode()
        assert reply.packet.options[175] == b"\xb0\x01\x01"

    def test_systems_get_none(self) -> None:
        reply = Net().ask(discover())
        assert reply is not None
        assert reply.packet.file == b"" and reply.packet.siaddr == wire.NO_ADDRESS

    def test_a_system_may_be_given_one_by_option(self) -> None:
        reply = Net(options={"bootfile-name": "phone.cfg", "tftp-server-name": "a"}).ask(discover())
        assert reply is not None
        assert reply.packet.file == b"phone.cfg" and reply.packet.options[67] == b"phone.cfg"

    def test_nothing_planned(self) -> None:
        reply = Net(House(boot=False)).ask(discover(options=pxe()))
        assert reply is not None and reply.packet.file == b"" and 67 not in reply.packet.options

    def test_events_tell_the_story(self) -> None:
        net = Net()
        out = net.handle(discover(options=ipxe()))
        assert [note.kind for note in out.notes] == ["dhcp.discover", "dhcp.offer"]
        data = out.notes[1].data
        assert data["stage"] == "ipxe" and data["arch"] == 7 and data["address"] == "10.77.0.100"
        assert data["file"].startswith("http://") and data["reason"] == "for the test"
