"""A Router Advertisement that says "no router here", for an iPXE that waits for one.

iPXE configures IPv4 and IPv6 side by side and goes on when both have ended. Where nobody answers its Router
Solicitations it repeats them with growing pauses: 16 s in the builds that sit in ROMs (2019), 4 s in recent
ones, while our ACK waits. One advertisement ends that at once. RFC 4861 sections 4.2 and 6.2.3: router
lifetime 0 makes us nobody's default router, no prefix gives nobody an address, and it goes to the one machine
that we answer as the authority, never to all. Pure.
"""

from __future__ import annotations

import struct

from pxe.dhcp import codes
from pxe.dhcp.codes import Kind
from pxe.dhcp.frame import checksum
from pxe.dhcp.replies import Reply, Way

ETH_P_IPV6 = 0x86DD
_ICMPV6, _ADVERTISEMENT, _SOURCE_LINK_LAYER = 58, 134, 1
_LINK_LOCAL = bytes.fromhex("fe80") + bytes(6)


def wanted(reply: Reply) -> bool:
    """Whether an iPXE on our own wire is being answered by its authority: only there we tell it not to look
    for a proxy either (option 175)."""
    packet = reply.packet
    return (
        reply.kind is Kind.OFFER
        and reply.way is not Way.ROUTED
        and codes.IPXE in packet.options
        and len(packet.chaddr) == 6
    )


def link_local(mac: bytes) -> bytes:
    """The address that a card gives itself (RFC 4291 appendix A); iPXE and SeaBIOS know no other."""
    return _LINK_LOCAL + bytes((mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5]))


def build(ours: bytes, theirs: bytes) -> bytes:
    """The IPv6 packet from our MAC's link-local address to that of `theirs`."""
    source, target = link_local(ours), link_local(theirs)
    # Hop limit to use, flags (neither managed nor other), lifetime 0; reachable and retransmit times unsaid.
    body = struct.pack("!BBHII", 64, 0, 0, 0, 0) + bytes((_SOURCE_LINK_LAYER, 1)) + ours
    bare = struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + body
    pseudo = source + target + struct.pack("!II", len(bare), _ICMPV6)
    message = bare[:2] + struct.pack("!H", checksum(pseudo + bare)) + bare[4:]
    # RFC 4861 section 6.1.2: hosts believe only a hop limit of 255.
    return struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + source + target + message
