"""Which boot an event belongs to, and how a boot falls into stages."""

from __future__ import annotations

from typing import Any

from bootsrv.model import Event
from bootsrv.timeline import Boot, Flight, advance, build, read_progress

FIRMWARE = {"stage": "firmware"}
Step = tuple[float, str, dict[str, Any]]
IMAGING: list[Step] = [
    (0, "dhcp.discover", FIRMWARE),
    (1, "dhcp.offer", FIRMWARE),
    (2, "tftp.start", {"file": "undionly.kpxe"}),
    (3, "tftp.done", {}),
    (4, "dhcp.discover", {"stage": "ipxe"}),
    (5, "http.done", {"file": "boot/x/script.ipxe"}),
    (6, "http.start", {"file": "imager/vmlinuz"}),
    (9, "dhcp.discover", {"stage": "system"}),
    (10, "imager.up", {}),
    (12, "deploy.started", {}),
    (13, "deploy.partition", {}),
    (15, "deploy.format", {}),
    (16, "deploy.progress", {"done": 5, "total": 10, "rate": 1.0}),
    (30, "deploy.files", {}),
    (31, "deploy.verify", {}),
    (33, "deploy.personalise", {}),
    (34, "deploy.loader", {}),
    (34, "deploy.done", {}),
    (35, "imager.reboot", {}),
    (40, "dhcp.discover", FIRMWARE),
    (41, "tftp.start", {}),
    (50, "home", {"image": "debian@2"}),
]


def fly(steps: list[Step]) -> list[int]:
    """The boot of each step."""
    flight: Flight | None = None
    boots = []
    for number, (at, kind, data) in enumerate(steps, 1):
        flight = advance(flight, at, kind, data, number)
        boots.append(flight.boot)
    return boots


def boot(steps: list[Step], superseded: bool = False) -> Boot:
    return build(
        [Event(n, at, 1, "m", 1, kind, "", data) for n, (at, kind, data) in enumerate(steps, 1)], superseded
    )


class TestBoots:
    def test_an_imaging_and_its_restart_are_one_story(self) -> None:
        assert set(fly(IMAGING)) == {1}

    def test_the_next_power_on_is_another(self) -> None:
        assert fly([*IMAGING, (60, "dhcp.discover", FIRMWARE), (61, "dhcp.offer", FIRMWARE)])[-2:] == [23, 23]

    def test_a_power_cut_in_the_middle_starts_another(self) -> None:
        assert fly([*IMAGING[:13], (20, "dhcp.discover", FIRMWARE)])[-1] == 14

    def test_repeated_discovers_are_one(self) -> None:
        assert set(fly([(at, "dhcp.discover", FIRMWARE) for at in (0, 4, 12, 28, 60)])) == {1}

    def test_the_system_asking_for_an_address_changes_nothing(self) -> None:
        assert set(fly([*IMAGING, (3000, "dhcp.discover", {"stage": "system"})])) == {1}

    def test_a_rom_that_is_replaced_stays_in_its_boot(self) -> None:
        steps: list[Step] = [
            (0, "dhcp.discover", {"stage": "old-ipxe"}),
            (2, "tftp.start", {}),
            (3, "dhcp.discover", {"stage": "ipxe"}),
            (4, "http.start", {}),
        ]
        assert set(fly(steps)) == {1}


class TestStages:
    def test_of_http_boot(self) -> None:
        found = boot(
            [
                (0, "dhcp.discover", FIRMWARE),
                (4, "http.start", {"file": "loaders/snponly.efi"}),
                (5, "http.done", {"file": "loaders/snponly.efi"}),
                (6, "http.start", {"file": "loaders/autoexec.ipxe"}),
                (7, "http.done", {"file": "boot/x/script.ipxe"}),
                (8, "http.start", {"file": "imager/vmlinuz"}),
            ]
        )
        assert [(s.name, s.start, s.end) for s in found.stages] == [
            ("firmware", 0, 4), ("loader", 4, 8), ("kernel", 8, None),
        ]  # fmt: skip

    def test_of_an_imaging(self) -> None:
        found = boot(IMAGING)
        assert [(s.name, s.start, s.end) for s in found.stages] == [
            ("firmware", 0, 2),
            ("loader", 2, 6),
            ("kernel", 6, 10),
            ("imager", 10, 12),
            ("prepare disk", 12, 15),
            ("write image", 15, 30),
            ("verify", 30, 31),
            ("personalise", 31, 33),
            ("boot loader", 33, 34),
            ("reboot", 34, 40),
            ("start from disk", 40, 50),
        ]
        assert (found.outcome, found.end) == ("home", 50)

    def test_the_last_one_is_open_while_it_lasts(self) -> None:
        found = boot(IMAGING[:13])
        assert (found.outcome, found.end, found.stages[-1].end) == ("running", None, None)
        assert found.progress is not None
        assert found.progress.eta == 5.0

    def test_failed(self) -> None:
        found = boot([*IMAGING[:11], (14, "deploy.failed", {"error": "x"})])
        assert (found.outcome, found.stages[-1].name, found.stages[-1].end) == ("failed", "prepare disk", 14)

    def test_a_retry_in_the_same_boot_goes_on(self) -> None:
        found = boot(
            [*IMAGING[:11], (14, "deploy.failed", {}), *((at + 20, k, d) for at, k, d in IMAGING[9:])]
        )
        assert found.outcome == "home"
        assert found.stages[-1].name == "start from disk"

    def test_cut(self) -> None:
        assert boot(IMAGING[:13], superseded=True).outcome == "cut"


def test_progress_that_makes_no_sense_is_none() -> None:
    assert read_progress({"done": "x", "total": 1}) is None
    assert read_progress({"done": 1, "total": 10, "rate": 0}).eta is None  # type: ignore[union-attr]
    assert read_progress({"done": 1, "total": 2**63, "rate": 1}) is None
    assert read_progress({"done": -1, "total": 2, "rate": 1}) is None
    crawling = read_progress({"done": 1, "total": 2**62, "rate": 1e-308})
    assert crawling is not None
    assert crawling.eta is not None
    assert crawling.eta < float("inf")
