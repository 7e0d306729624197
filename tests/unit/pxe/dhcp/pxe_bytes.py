"""Scapy as an oracle. GPL code: used by tests only, never by the product."""

from __future__ import annotations

from typing import Any


def scapy_dhcp(data: bytes) -> tuple[dict[str, Any], dict[int, bytes]]:
    """Scapy's reading of the fixed fields, and of the options as code -> bytes."""
    from scapy.layers.dhcp import BOOTP

    packet = BOOTP(data)
    fields = {name: packet.getfieldval(name) for name in packet.fields}
    raw = bytes(packet.payload)
    assert bytes(packet.options)[:4] == b"c\x82Sc"
    # Its typed option values differ by version, so walk the bytes it kept as the option field.
    options: dict[int, bytes] = {}
    at = 0
    while at < len(raw) and raw[at] != 255:
        if raw[at] == 0:
            at += 1
            continue
        size = raw[at + 1]
        options[raw[at]] = options.get(raw[at], b"") + raw[at + 2 : at + 2 + size]
        at += 2 + size
    return fields, options
