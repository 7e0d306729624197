"""How an answer is put together: fixed fields, options in the order asked for, boot data, and where it
goes.

RFC 2131 section 4.1 (destination) and table 3 (fields), 2132 section 9.8 (parameter list), 3046 (relay data
comes back, last), 5107 (the relay's server identifier), 6842 (the client identifier comes back), PXE 2.1
chapter 2. The law: pure; what it gets decides everything it gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address

from pxe.dhcp import codes
from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import Change
from pxe.dhcp.ports import BootFile, Client, Stage
from pxe.dhcp.vendor import THIS_FILE, Vendor, build, menu, parse
from pxe.dhcp.wire import (
    BROADCAST,
    DEFAULT_LIMIT,
    FILE_FIELD,
    MAX_LIMIT,
    MIN_LENGTH,
    NO_ADDRESS,
    REPLY,
    Packet,
)
from pxe.dhcp.zones import Arrival, Place

SERVER_PORT, CLIENT_PORT, PROXY_PORT = 67, 68, 4011
EVERYBODY = IPv4Address("255.255.255.255")

# What is never left out for want of room.
ESSENTIAL = frozenset(
    {1, 3, codes.LEASE_TIME, codes.MESSAGE_TYPE, codes.SERVER_ID, codes.VENDOR_CLASS, codes.CLIENT_ID,
     codes.BOOT_FILE, codes.RELAY_INFO, codes.CLIENT_UUID, codes.VENDOR_INFO}
)  # fmt: skip
# Without a parameter list (old clients, BOOTP) everything configured is sent; these are never "configured".
_NOT_ON_REQUEST = frozenset({codes.LEASE_TIME, codes.RENEWAL_TIME, codes.REBINDING_TIME, codes.VENDOR_CLASS})

_built = lru_cache(256)(build)  # a few for each network
# iPXE's own encapsulated option 176, "no-pxedhcp": it need not wait for a proxyDHCP server, saving two
# seconds.
IPXE_NO_PROXY = b"\xb0\x01\x01"


class Way(StrEnum):
    """How an answer travels."""

    BROADCAST = "broadcast"  # to everybody on the interface
    DIRECT = "direct"  # to an address its owner does not have yet: frame to its MAC, no ARP
    ROUTED = "routed"  # plain UDP


@dataclass(slots=True)  # nobody changes one, as with wire.Packet
class Reply:
    """One answer. It may leave once `change` is stored; `safe`: even if it could not be (a reservation)."""

    packet: Packet
    limit: int
    server: IPv4Address  # our address it is sent from
    way: Way
    address: IPv4Address
    port: int
    via: int  # the port it is sent from: 67 or 4011
    kind: Kind | None  # None: BOOTP
    change: Change | None = None
    safe: bool = True


@dataclass(slots=True)
class Asked:
    """One request with what was found out about it."""

    packet: Packet
    client: Client
    arrival: Arrival
    place: Place
    kind: Kind | None
    relay: Mapping[int, bytes]  # sub-options of 82

    @property
    def server_id(self) -> bytes:
        """Our identity towards this client: RFC 5107 lets its relay stand in for us."""
        override = self.relay.get(codes.SERVER_OVERRIDE, b"")
        return override if len(override) == 4 else self.place.server.packed


def size_limit(packet: Packet, kind: Kind | None) -> int:
    """How many bytes of DHCP the client takes: option 57 counts IP and UDP headers too (RFC 2132 section
    9.10)."""
    if kind is None:
        return MIN_LENGTH  # RFC 951: a vendor field of 64 bytes, not more
    asked = packet.options.get(codes.MAX_SIZE, b"")
    if len(asked) != 2:
        return DEFAULT_LIMIT
    return min(max(int.from_bytes(asked, "big") - 28, DEFAULT_LIMIT), MAX_LIMIT)


def make(
    asked: Asked,
    kind: Kind | None,
    yours: IPv4Address,
    settings: Mapping[int, bytes],
    boot: BootFile | None,
    times: Mapping[int, bytes],
    proxy: bool = False,
    change: Change | None = None,
    safe: bool = True,
) -> Reply:
    """OFFER, ACK or BOOTREPLY. `settings` are all options that may be sent, `times` those of the lease."""
    request = asked.packet
    options: dict[int, bytes] = {}
    if kind is not None:
        options[codes.MESSAGE_TYPE] = bytes((kind,))
        options[codes.SERVER_ID] = asked.server_id
    options.update(times)
    options.update(_wanted(request, settings))
    file = b""
    if boot is not None:
        file = _boot_options(asked, boot, options, proxy)
    elif codes.BOOT_FILE in settings:
        file = settings[codes.BOOT_FILE][: FILE_FIELD - 1]
    _echo(request, options)
    packet = Packet(
        REPLY, request.htype, 0, request.xid, 0, request.flags,
        request.ciaddr if kind is Kind.ACK else NO_ADDRESS, yours,
        boot.server if boot is not None else NO_ADDRESS,
        request.giaddr, request.chaddr, b"", file, options,
    )  # fmt: skip
    way, address, port = destination(asked, yours)
    return Reply(
        packet, size_limit(request, kind), asked.place.server, way, address, port, asked.arrival.port,
        kind, change, safe,
    )  # fmt: skip


def refuse(asked: Asked, why: str) -> Reply:
    """A DHCPNAK: back through the relay, else to everybody (RFC 2131 section 4.1)."""
    request = asked.packet
    options = {
        codes.MESSAGE_TYPE: bytes((Kind.NAK,)),
        codes.SERVER_ID: asked.server_id,
        codes.MESSAGE: why.encode()[:255],
    }
    _echo(request, options)
    relayed = request.giaddr != NO_ADDRESS
    packet = Packet(
        op=REPLY,
        htype=request.htype,
        xid=request.xid,
        flags=request.flags | BROADCAST if relayed else request.flags,
        giaddr=request.giaddr,
        chaddr=request.chaddr,
        options=options,
    )
    way, address, port = (
        (Way.ROUTED, request.giaddr, SERVER_PORT) if relayed else (Way.BROADCAST, EVERYBODY, CLIENT_PORT)
    )
    return Reply(packet, DEFAULT_LIMIT, asked.place.server, way, address, port, SERVER_PORT, Kind.NAK)


def destination(asked: Asked, yours: IPv4Address) -> tuple[Way, IPv4Address, int]:
    """RFC 2131 section 4.1, and for PXE boot servers (port 4011) back to where the question came from."""
    request, arrival = asked.packet, asked.arrival
    if arrival.port != SERVER_PORT:
        return Way.ROUTED, arrival.source, arrival.source_port
    if request.giaddr != NO_ADDRESS:
        return Way.ROUTED, request.giaddr, SERVER_PORT
    if request.ciaddr != NO_ADDRESS:
        return Way.ROUTED, request.ciaddr, CLIENT_PORT
    # Frames to a MAC need one that fits an Ethernet frame; others said "broadcast" already (RFC 4390).
    if request.flags & BROADCAST or yours == NO_ADDRESS or len(request.chaddr) != 6:
        return Way.BROADCAST, EVERYBODY, CLIENT_PORT
    return Way.DIRECT, yours, CLIENT_PORT


def _wanted(request: Packet, settings: Mapping[int, bytes]) -> dict[int, bytes]:
    """The settings asked for, in the client's order; all of them when it did not say.

    The netmask always goes along, and before the routers (RFC 2132 section 3.5 demands that order).
    """
    wanted = request.options.get(codes.PARAMETER_LIST)
    chosen: dict[int, bytes] = {}
    if codes.SUBNET_MASK in settings:
        chosen[codes.SUBNET_MASK] = settings[codes.SUBNET_MASK]
    codes_in_order = settings.keys() if wanted is None else wanted
    for code in codes_in_order:
        if code in settings and code not in _NOT_ON_REQUEST:
            chosen[code] = settings[code]
    return chosen


def _boot_options(asked: Asked, boot: BootFile, options: dict[int, bytes], proxy: bool) -> bytes:
    """Boot data into `options`; gives the `file` field."""
    client, request = asked.client, asked.packet
    name = boot.filename.encode()
    wanted = request.options.get(codes.PARAMETER_LIST, b"")
    if client.http_boot:
        options[codes.VENDOR_CLASS] = b"HTTPClient"
        options[codes.BOOT_FILE] = name
    else:
        if codes.TFTP_SERVER in wanted:
            options[codes.TFTP_SERVER] = str(boot.server).encode()
        if codes.BOOT_FILE in wanted or len(name) >= FILE_FIELD:
            # Some PXE ROMs read option 67 as a C string; iPXE and the others stop at the NUL as well.
            options[codes.BOOT_FILE] = name + b"\0" if client.stage is Stage.FIRMWARE else name
        info = _vendor_info(asked, boot, proxy)
        if info is not None:
            options[codes.VENDOR_CLASS] = b"PXEClient"  # without it firmware does not look at option 43
            options[codes.VENDOR_INFO] = _built(info)
    if client.stage in (Stage.IPXE, Stage.OLD_IPXE) and not proxy:
        options[codes.IPXE] = IPXE_NO_PROXY
    if codes.CLIENT_UUID in request.options:
        options[codes.CLIENT_UUID] = request.options[codes.CLIENT_UUID]
    return name if len(name) < FILE_FIELD else b""


def _vendor_info(asked: Asked, boot: BootFile, proxy: bool) -> Vendor | None:
    """Option 43: a menu where the subnet has one, for PXE firmware that is not at the boot server yet (iPXE
    would show it too, and has better ones). Else, beside another server: load this file; a boot server also
    repeats the item that was asked for (PXE 2.1, tag 71)."""
    seconds, client = asked.place.home.subnet.pxe_menu, asked.client
    asks_first = asked.arrival.port == SERVER_PORT and client.stage is Stage.FIRMWARE
    if seconds is not None and asks_first and client.vendor_class.startswith("PXEClient"):
        return menu(boot.server, seconds)
    if not proxy:
        return None
    item = parse(asked.packet.options.get(codes.VENDOR_INFO, b"")).item
    return Vendor(THIS_FILE, item=item)


def _echo(request: Packet, options: dict[int, bytes]) -> None:
    """RFC 6842: the client identifier; RFC 3046 section 2.2: relay data unchanged, after everything else."""
    for code in (codes.CLIENT_ID, codes.RELAY_INFO):
        if code in request.options:
            options.pop(code, None)
            options[code] = request.options[code]
