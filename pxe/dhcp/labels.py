"""Host names as one label: what is left of what a client calls itself, and names made from an address.

RFC 1123 section 2.1 and RFC 1035 section 2.3.4. The law: what comes out is a label of a-z, 0-9 and hyphens,
or nothing. Pure.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

LONGEST = 63
_UNFIT = re.compile(r"[^a-z0-9]+")
_PLACES = re.compile(r"\{(\w*)\}")


def clean(text: str) -> str:
    """One label of what a client calls itself, in lower case; "" when nothing is left of it."""
    label = _UNFIT.sub("-", text.lower().partition(".")[0]).strip("-")[:LONGEST].strip("-")
    return "" if label.isdigit() else label


def from_pattern(pattern: str, mac: str, address: IPv4Address) -> str:
    """`dyn-{ip}` -> dyn-10-77-0-100; `{mac}` is the hardware address without colons. Raises ValueError for a
    pattern that makes no label of its own for each client."""
    values = {"ip": dashed(address), "mac": mac.replace(":", "")}
    places = _PLACES.findall(pattern)
    if not places or not set(places) <= set(values):
        raise ValueError(f"{pattern!r} needs {{ip}} or {{mac}}, and nothing else in braces")
    made = _PLACES.sub(lambda found: values[found[1]], pattern)
    if len(made) > LONGEST or made != clean(made):
        raise ValueError(f"{pattern!r} makes {made!r}: use up to {LONGEST} of a-z, 0-9 and -, no - at an end")
    return made


def dashed(address: IPv4Address) -> str:
    """10.77.0.100 -> 10-77-0-100."""
    return str(address).replace(".", "-")
