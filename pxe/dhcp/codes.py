"""Numbers of RFC 2132 and its successors that the engine itself speaks of. Pure constants."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """Option 53, DHCP message type (RFC 2132 section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


KINDS = (None, *Kind)  # by number; calling Kind takes several times as long

SUBNET_MASK = 1
ROUTERS = 3
HOST_NAME = 12
DOMAIN_NAME = 15
BROADCAST_ADDRESS = 28
NTP_SERVERS = 42
VENDOR_INFO = 43
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_LIST = 55
MESSAGE = 56
MAX_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
VENDOR_CLASS = 60
CLIENT_ID = 61
TFTP_SERVER = 66
BOOT_FILE = 67
USER_CLASS = 77
CLIENT_FQDN = 81
RELAY_INFO = 82
ARCH = 93
CLIENT_INTERFACE = 94
CLIENT_UUID = 97
SUBNET_SELECTION = 118
IPXE = 175

# Sub-options of 82 (RFC 3046, 3527, 5107)
CIRCUIT_ID = 1
REMOTE_ID = 2
LINK_SELECTION = 5
SERVER_OVERRIDE = 11
