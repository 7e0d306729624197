"""Which server a file belongs to, by what it says. Pure.

The law: a file that could be two things is refused, with the way to say which it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bootsrv.importing import dnsmasq, isc, kea
from bootsrv.importing.imported import Imported, ImportFailed, Resolve

LOOK_AT = 256 * 1024  # characters; every real file shows what it is long before

_COMMENT = re.compile(r"^[ \t]*(?:#|//)[^\n]*", re.MULTILINE)
_SIGNS = {
    "isc": re.compile(
        r"\bsubnet\s+[\d.]+\s+netmask\s+[\d.]+\s*\{|\b(?:host|shared-network|group|pool)\b[^;={\n]{0,200}\{|"
        r"\boption\s+[\w.-]{1,80}\s[^;\n]{1,400};|\b(?:default|max)-lease-time\s+\d+\s*;|\bauthoritative\s*;"
    ),
    "dnsmasq": re.compile(
        r"^[ \t]*(?:--)?(?:dhcp-[a-z]+|interface|domain|server|pxe-[a-z]+)[ \t]*=", re.MULTILINE
    ),
    "kea": re.compile(r'"(?:Dhcp4|subnet4)"\s*:'),
}

DIALECTS = tuple(_SIGNS)


def detect(text: str, source: str) -> str:
    """The dialect of a text. Raises ImportFailed when no sign or signs of several are in it."""
    look = _COMMENT.sub("", text[:LOOK_AT])
    seen = [name for name, sign in _SIGNS.items() if sign.search(look)]
    if "kea" in seen and look.lstrip()[:1] in ("{", "/"):
        return "kea"  # nothing else begins with a brace
    if len(seen) == 1:
        return seen[0]
    what = (
        f"looks like {' and '.join(seen)}"
        if seen
        else "is none of ISC dhcpd, dnsmasq and Kea as far as can be seen"
    )
    raise ImportFailed(source, 1, f"{what}: say which with --dialect ({', '.join(DIALECTS)})")


def read(
    text: str, source: str, dialect: str | None = None, resolve: Resolve = lambda name: None
) -> Imported:
    """Read a file of the given dialect, or of the one it looks like. Raises ImportFailed."""
    readers: dict[str, Callable[[], Imported]] = {
        "isc": lambda: isc.read(text, source, resolve),
        "dnsmasq": lambda: dnsmasq.read(text, source),
        "kea": lambda: kea.read(text, source),
    }
    chosen = dialect or detect(text, source)
    if chosen not in readers:
        raise ImportFailed(source, 1, f"the dialect {chosen!r} is none of {', '.join(DIALECTS)}")
    return readers[chosen]()
