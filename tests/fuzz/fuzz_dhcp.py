"""Coverage-guided fuzzing of DHCP, from the bytes to the answer.

    python tests/fuzz/fuzz_dhcp.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any bytes are a Packet or a WireError; what was parsed can be built and parsed to the same; the
responder answers or is silent, and what it answers can be built. The seeds are packets as firmware, iPXE,
systems and relays send them; they are written into the corpus directory first.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Address
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/unit/pxe/dhcp")]

with atheris.instrument_imports(include=["pxe"]):
    from pxe.dhcp import frame, wire
    from pxe.dhcp.codes import Kind
    from pxe.dhcp.replies import ESSENTIAL
    from pxe.errors import WireError
with atheris.instrument_imports(include=["pxe"]):
    from dhcp_house import Net, discover, http, ipxe, message, pxe, select

NETS = [Net(), Net(mode="proxy")]


def seeds() -> list[bytes]:
    """One packet of each kind that is seen on real networks."""
    relay = {82: b"\1\4port\2\6\2\0\0\0\0\1\5\4\x0a\x4d\0\0\x0b\4\x0a\x4d\0\1"}
    gate = IPv4Address("10.77.0.9")
    packets = [
        discover(), discover(options=pxe(0)), discover(options=pxe(7)), discover(options=http(16)),
        discover(options=ipxe()), discover(options=ipxe((1, 0, 0), ntp=False)),
        discover(options=relay, giaddr=gate, hops=1),
        discover(options={61: b"\xff" + bytes(18), 81: b"\4\0\0\1n"}),
        message(Kind.REQUEST, options={50: b"\x0a\x4d\0\x64", 54: b"\x0a\x4d\0\1"}),
        message(Kind.REQUEST, ciaddr=IPv4Address("10.77.0.100")), message(Kind.INFORM, ciaddr=gate),
        message(Kind.RELEASE, ciaddr=IPv4Address("10.77.0.100")),
        message(Kind.DECLINE, options={50: b"\x0a\x4d\0\x64", 54: b"\x0a\x4d\0\1"}), message(None),
        discover(options={n: bytes(60) for n in range(128, 145)}),
    ]  # fmt: skip
    offer = Net().ask(discover())
    assert offer is not None
    packets.append(select(offer))
    packets.append(offer.packet)
    built = [wire.build(packet, 1400) for packet in packets]
    built.append(wire.build(discover(options={n: bytes(60) for n in range(128, 135)}), 548))
    near, everybody = IPv4Address("10.77.0.9"), IPv4Address("255.255.255.255")
    return [*built, frame.build(frame.Datagram(near, 67, everybody, 68, built[-1]))]


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    try:
        whole = frame.parse(data)  # what the probe hears on its packet socket
        assert len(whole.payload) <= len(data) - 28
    except WireError:
        pass
    try:
        packet = wire.parse(data)
    except WireError:
        return
    try:
        again = wire.parse(wire.build(packet, 1 << 16))
    except WireError as error:
        raise AssertionError(f"parsed, but cannot be built: {error}") from error
    assert again == packet
    for net in NETS:
        for port in (67, 4011):
            source = IPv4Address("10.77.0.50") if port == 4011 else net.arrival.source
            arrival = type(net.arrival)("br0", net.arrival.addresses, port, source)
            for reply in net.responder.handle(packet, arrival, net.now).replies:
                try:
                    built, _dropped = wire.build_fitting(reply.packet, reply.limit, ESSENTIAL)
                except wire.TooLong:
                    continue  # it asked to have more repeated than it takes: no answer
                assert len(built) <= max(reply.limit, wire.MIN_LENGTH)
                assert wire.parse(built).xid == packet.xid
        net.now += 1  # leases end, so that the tables stay small


if __name__ == "__main__":
    from harness import fuzz, recorded

    fuzz(one, seeds() + recorded("dhcp"))
