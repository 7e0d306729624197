"""Why a boot that went quiet went quiet, as far as its record tells. Pure: events in, one sentence out.

Firmware says little to the one in front of it and nothing to us; but what it asked for, and what it did not
ask for next, tells. Seen with OVMF: where Secure Boot refuses a loader, firmware loads it to the last byte
and then looks for a server again.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootsrv.model import Event
from bootsrv.timeline import from_firmware
from pxe.loaders import BY_CODE

QUIET_SECONDS = 20.0  # firmware's own pauses between two steps are shorter
_ENDS = ("imager.", "deploy.", "install.", "home")  # from here on the machine speaks for itself
_SAID = ("boot.none", "dhcp.none")  # their text is the reason
_STEPS = ("dhcp.discover", "dhcp.offer", "dhcp.ack", "tftp.", "http.", *_SAID)
_LOADERS = frozenset(kind.loader for kind in BY_CODE.values() if kind.loader)


def trouble(events: Sequence[Event], now: float) -> str | None:
    """What seems to be wrong with a boot, by its events in order; None while nothing does."""
    if any(event.kind.startswith(_ENDS) for event in events):
        return None
    steps = [event for event in events if event.kind.startswith(_STEPS)]
    if not steps:
        return None
    loaded = _returned(steps)
    if loaded is not None:
        return _not_started(loaded)
    said = _said(steps)
    if said is not None:
        return said
    last = steps[-1]
    return _quiet(last) if now - last.at >= QUIET_SECONDS else None


def _returned(steps: Sequence[Event]) -> str | None:
    """The loader of ours that was sent whole, when the firmware then began anew."""
    loaded = None
    for step in steps:
        if _is_loader(step):
            loaded = _file(step)
        elif step.kind == "dhcp.discover" and loaded and from_firmware(step.data):
            return loaded if step.data.get("stage") == "firmware" else None
        elif step.kind.startswith(("tftp.", "http.")) or step.data.get("stage") == "ipxe":
            loaded = None  # it runs: it asks for more
    return None


def _said(steps: Sequence[Event]) -> str | None:
    """Why there is no file, or no address, where there is none to this moment."""
    addressed = False
    for step in reversed(steps):
        if step.kind in _SAID:
            return None if addressed and step.kind == "dhcp.none" else step.text
        if step.kind.startswith(("tftp.", "http.")) or _file(step):
            return None
        addressed = addressed or step.kind in ("dhcp.offer", "dhcp.ack")
    return None


def _quiet(last: Event) -> str | None:
    file = _file(last)
    match last.kind:
        case "dhcp.offer":
            return "was made an offer and did not take it: another DHCP server may have been faster"
        case "dhcp.ack" if file and last.data.get("stage") != "system":
            way = "HTTP (TCP)" if "://" in file else "TFTP (UDP 69)"
            return f"was told to load {file} and never asked for it: is {way} open on the way to this server?"
        case "tftp.start" | "http.start":
            return f"stopped in the middle of {file}: a cable, a switch, or a path that drops large packets"
        case "tftp.missing" | "http.missing":
            return f"asked for {file}, which is not here, and then for nothing more"
    return _not_started(file) if _is_loader(last) else None


def _not_started(file: str) -> str:
    return (
        f"loaded {file} and did not start it: Secure Boot starts signed programs only (switch it off, or "
        "give it a signed one as its bootfile-name); else it is not the file for this machine"
    )


def _is_loader(event: Event) -> bool:
    sent = event.kind in ("tftp.done", "http.done") and not event.data.get("aborted")
    return sent and _file(event) in _LOADERS


def _file(event: Event) -> str:
    return str(event.data.get("file") or "").removeprefix("loaders/")
