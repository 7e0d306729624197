"""What the record of a boot that went quiet says about the reason."""

from __future__ import annotations

from typing import Any

import pytest

from bootsrv.diagnosis import QUIET_SECONDS, trouble
from bootsrv.model import Event

Step = tuple[str, dict[str, Any]]
LOOKS: Step = ("dhcp.discover", {"stage": "firmware"})
OFFER: Step = ("dhcp.offer", {"stage": "firmware", "file": "snponly.efi"})
ACK: Step = ("dhcp.ack", {"stage": "firmware", "file": "snponly.efi"})
ACK_HTTP: Step = ("dhcp.ack", {"stage": "firmware", "file": "http://10.77.0.1/x.efi"})
START: Step = ("tftp.start", {"file": "snponly.efi"})
SENT: Step = ("tftp.done", {"file": "snponly.efi"})
SENT_HTTP: Step = ("http.done", {"file": "loaders/snponly.efi", "aborted": False})
OUR_IPXE: Step = ("dhcp.discover", {"stage": "ipxe"})
SCRIPT: Step = ("http.done", {"file": "boot/52:54:00:00:00:01/script.ipxe"})


def told(*steps: Step, silence: float = QUIET_SECONDS) -> str | None:
    events = [
        Event(at, float(at), 1, "52:54:00:00:00:01", 1, kind, f"text of {kind}", data)
        for at, (kind, data) in enumerate(steps)
    ]
    return trouble(events, len(steps) - 1 + silence)


@pytest.mark.parametrize(
    "steps, reason",
    [
        ((LOOKS, OFFER), "did not take it"),
        ((LOOKS, OFFER, ACK), "never asked for it: is TFTP (UDP 69) open"),
        ((LOOKS, ACK_HTTP), "is HTTP (TCP) open"),
        ((LOOKS, OFFER, ACK, START), "stopped in the middle of snponly.efi"),
        ((LOOKS, OFFER, ACK, START, SENT), "Secure Boot"),
        ((LOOKS, OFFER, ACK, SENT_HTTP), "Secure Boot"),
        ((LOOKS, ("tftp.missing", {"file": "menu.0"})), "asked for menu.0, which is not here"),
    ],
)
def test_silence(steps: tuple[Step, ...], reason: str) -> None:
    said = told(*steps)
    assert said is not None and reason in said
    assert told(*steps, silence=QUIET_SECONDS - 1) is None, "it may still go on"


def test_firmware_that_comes_back_did_not_start_what_it_loaded() -> None:
    said = told(LOOKS, ACK, START, SENT, LOOKS, silence=0)
    assert said is not None and "Secure Boot" in said


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (LOOKS, ACK, START, SENT, OUR_IPXE, SCRIPT),
        (LOOKS, ACK, START, SENT, ("tftp.done", {"file": "autoexec.ipxe"}), SCRIPT),
        (("dhcp.discover", {"stage": "old-ipxe"}), SENT, ("dhcp.discover", {"stage": "old-ipxe"}), SCRIPT),
        (LOOKS, ("tftp.missing", {"file": "pxelinux.cfg/0"}), ("tftp.done", {"file": "grub.cfg"})),
        (LOOKS, ACK, START, ("imager.up", {})),
        (("dhcp.discover", {"stage": "system"}), ("dhcp.ack", {"stage": "system", "file": "x"})),
        (LOOKS, ACK, ("tftp.done", {"file": "grubx64.efi"})),
    ],
)
def test_nothing_is_wrong(steps: tuple[Step, ...]) -> None:
    assert told(*steps, silence=3600.0) is None


@pytest.mark.parametrize("kind", ["boot.none", "dhcp.none"])
def test_no_loader_or_no_address_is_told_as_it_was_recorded(kind: str) -> None:
    assert told(LOOKS, (kind, {}), silence=0) == f"text of {kind}"


def test_a_machine_without_a_loader_gets_its_address_all_the_same() -> None:
    bare: Step = ("dhcp.offer", {"stage": "firmware"})
    assert told(LOOKS, ("boot.none", {}), bare, silence=0) == "text of boot.none"
    assert told(LOOKS, ("boot.none", {}), bare, ("dhcp.ack", {}), silence=3600) == "text of boot.none"
    assert told(LOOKS, ("dhcp.none", {}), LOOKS, bare, silence=0) is None
    assert told(LOOKS, ("boot.none", {}), OFFER, ACK, silence=0) is None
