"""Who sent this packet: Packet -> ports.Client.

RFC 4578 (PXE options 93, 94, 97), RFC 3004 (user class), RFC 3046 (relay data), RFC 4702 (FQDN), and iPXE's
option 175, where sub-option 235 tells its version. The law: a malformed option of the client costs that
fact, not the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

from pxe.dhcp import codes
from pxe.dhcp.ports import Client, Stage
from pxe.dhcp.wire import Packet

# iPXE counts releases from 1.0.0 (2010); builds before 1.20 (2020) have bugs that hit real machines in HTTP.
TRUSTED_IPXE = (1, 20, 0)
# Distributions build without the git tag that the number comes from: Debian's of 2025 says 1.0.0, and so
# does QEMU's ROM of 2019. Seen on the wire: the recent one asks for NTP servers, the old one does not.
UNTAGGED_IPXE = (1, 0, 0)
IPXE_VERSION, IPXE_HTTP = 235, 19

_ARCH_IN_CLASS = re.compile(r"Arch:(\d{5})")
_UNPRINTABLE = bytes((*range(32), *range(127, 256)))
_NAME = re.compile(rb"[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?\Z")


def sub_options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and value of encapsulated options (43, 82, 175); ends at the first that is cut off."""
    at = 0
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        size = data[at + 1]
        value = data[at + 2 : at + 2 + size]
        if len(value) < size:
            return
        yield data[at], value
        at += 2 + size


# Who sends none of these says nothing but its hardware address and client identifier.
_TELLING = frozenset(
    {codes.VENDOR_CLASS, codes.USER_CLASS, codes.ARCH, codes.CLIENT_UUID, codes.RELAY_INFO,
     codes.HOST_NAME, codes.CLIENT_FQDN}
)  # fmt: skip


def describe(packet: Packet) -> Client:
    """Everything the registry and the boot plan may want to know of the sender."""
    options = packet.options
    get = options.get
    if _TELLING.isdisjoint(options):
        return Client(mac_of(packet), Stage.SYSTEM, get(codes.CLIENT_ID) or None)
    relay = dict(sub_options(options[codes.RELAY_INFO])) if codes.RELAY_INFO in options else {}
    # Printable only: it is shown on pages and terminals.
    vendor_class = get(codes.VENDOR_CLASS, b"").translate(None, _UNPRINTABLE).decode("ascii")
    return Client(
        mac=mac_of(packet),
        stage=_stage(packet, vendor_class),
        client_id=get(codes.CLIENT_ID) or None,
        uuid=_uuid(get(codes.CLIENT_UUID)),
        arch=_arch(get(codes.ARCH), vendor_class),
        http_boot=vendor_class.startswith("HTTPClient"),
        vendor_class=vendor_class,
        hostname=_hostname(packet),
        circuit_id=relay.get(codes.CIRCUIT_ID),
        remote_id=relay.get(codes.REMOTE_ID),
        fqdn=get(codes.CLIENT_FQDN, b""),
    )


def mac_of(packet: Packet) -> str:
    """The hardware address, lower case with colons; of InfiniBand (RFC 4390: hlen 0) what the client-id
    says."""
    return (packet.chaddr or packet.options.get(codes.CLIENT_ID, b"")[-8:]).hex(":")


def is_pxe(client: Client) -> bool:
    """Whether the sender wants a boot file: firmware, or iPXE of any age."""
    return client.stage is not Stage.SYSTEM


def _stage(packet: Packet, vendor_class: str) -> Stage:
    user_class = packet.options.get(codes.USER_CLASS, b"")
    # iPXE sends the bare word; a few builds follow RFC 3004 and put a length byte before it.
    if user_class.removeprefix(b"\x04") in (b"iPXE", b"gPXE"):
        return Stage.IPXE if _trusted(packet) else Stage.OLD_IPXE
    if vendor_class.startswith(("PXEClient", "HTTPClient")):
        return Stage.FIRMWARE
    # U-Boot names itself, and says its architecture when it means to boot over the network.
    if vendor_class.startswith("U-Boot") and codes.ARCH in packet.options:
        return Stage.FIRMWARE
    return Stage.SYSTEM


def _trusted(packet: Packet) -> bool:
    features = dict(sub_options(packet.options.get(codes.IPXE, b"")))
    if IPXE_HTTP not in features:
        return False
    version = tuple(features.get(IPXE_VERSION, b""))[:3]
    if version == UNTAGGED_IPXE:
        return codes.NTP_SERVERS in packet.options.get(codes.PARAMETER_LIST, b"")
    return version >= TRUSTED_IPXE


def _arch(data: bytes | None, vendor_class: str) -> int | None:
    """Option 93 is a list of 16-bit codes, the first is what runs now; the class text says it again."""
    if data is not None and len(data) >= 2:
        return data[0] << 8 | data[1]
    found = _ARCH_IN_CLASS.search(vendor_class)
    return int(found[1]) if found else None


def _uuid(data: bytes | None) -> str | None:
    """Type 0 and 16 bytes as in SMBIOS, whose first three fields are little-endian (so dmidecode shows the
    same)."""
    if data is None or len(data) != 17 or data[0] != 0 or data[1:] in (bytes(16), b"\xff" * 16):
        return None
    return str(UUID(bytes_le=data[1:]))


def _hostname(packet: Packet) -> str:
    """Option 12, else the name in option 81 (flags, two obsolete bytes, name as text or in DNS form)."""
    name = packet.options.get(codes.HOST_NAME, b"").rstrip(b"\0")
    fqdn = packet.options.get(codes.CLIENT_FQDN, b"")
    if not name and len(fqdn) > 3:
        name = _dns_name(fqdn[3:]) if fqdn[0] & 4 else fqdn[3:].rstrip(b"\0.")
    return name.decode("ascii") if _NAME.match(name) else ""


def _dns_name(data: bytes) -> bytes:
    labels, at = [], 0
    while at < len(data) and 0 < data[at] < 64:
        labels.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b".".join(labels)
