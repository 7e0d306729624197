"""What both sides agree on before the first block: options of RFC 2348 (blksize), 2349 (timeout, tsize), 7440
(windowsize), and `rollover`, which a few clients send. Pure.

The law: only options that were asked for are answered, in the order asked; a value that cannot be used is
left out as if it had not been sent (RFC 2347), so that no request can end more than itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from pxe.tftp.wire import Request

SMALLEST, PLAIN, LARGEST = 8, 512, 65464  # bytes in a block: least, without options, most


@dataclass(frozen=True, slots=True)
class Terms:
    """The agreement. `accepted` is the OACK; empty: none is sent."""

    blksize: int = PLAIN
    windowsize: int = 1
    timeout: float | None = None  # seconds between retransmissions, as the client wishes
    rollover: int = 0  # the block number after 65535
    size: int | None = None  # of an upload, as announced
    accepted: tuple[tuple[str, str], ...] = ()


def negotiate(request: Request, size: int | None, largest: int, window: int) -> Terms:
    """Our side of the agreement. `size` of what is read (None for a write), `largest` block that the path
    takes in one packet, `window` most blocks in flight."""
    chosen: dict[str, int] = {}
    for name, text in request.options:
        value = _number(text)
        if value is None:
            continue
        if name == "blksize" and value >= SMALLEST:
            chosen[name] = max(SMALLEST, min(value, largest, LARGEST))
        elif name == "windowsize" and 1 <= value <= 65535:
            chosen[name] = min(value, window)
        elif (name == "timeout" and 1 <= value <= 255) or (name == "rollover" and value in (0, 1)):
            chosen[name] = value
        elif name == "tsize":
            chosen[name] = value if request.write else (size or 0)
    return Terms(
        blksize=chosen.get("blksize", PLAIN),
        windowsize=chosen.get("windowsize", 1),
        timeout=chosen.get("timeout"),
        rollover=chosen.get("rollover", 0),
        size=chosen.get("tsize") if request.write else None,
        accepted=tuple((name, str(value)) for name, value in chosen.items()),
    )


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None
