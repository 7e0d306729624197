from __future__ import annotations

import pytest

from bootsrv.model import Event
from bootsrv.timeline import Progress, build
from webui import flight, hardware, show


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (931 << 20, "931 MiB"),
        (2 << 50, "2 PiB"),
    ],
)
def test_sizes(count: int | None, text: str) -> None:
    assert show.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.0 s"),
        (0.42, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert show.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.8, "0:04.8"), (59.96, "1:00.0"), (100.2, "1:40.2"), (3729, "1:02:09"), (-1, "0:00.0")],
)
def test_offsets(seconds: float, text: str) -> None:
    assert show.offset(seconds) == text


@pytest.mark.parametrize(
    ("back", "text"),
    [
        (None, "never"),
        (-5, "just now"),
        (3, "just now"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (90000, "25 h ago"),
    ],
)
def test_ages(back: float | None, text: str) -> None:
    assert show.ago(None if back is None else 1000 - back, 1000) == text


def test_never_a_hundred_percent_before_the_end() -> None:
    assert show.percent(9999, 10000) == 99
    assert show.percent(10000, 10000) == 100
    assert show.percent(-5, 10) == 0
    assert show.percent(5, 0) is None


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"dmi": None, "disks": "no", "cpu": 7, "memory": "much", "interfaces": [1, None, {"name": 4}]},
        {"disks": [{"path": 1, "size": "big"}] * 500, "memory": -1, "cpu": {"model": [], "count": "x"}},
        {"dmi": {"vendor": "x" * 10_000}},
    ],
)
def test_an_inventory_of_any_shape_is_shown_or_left_out(facts: dict[str, object]) -> None:
    for line in hardware.brief(facts):
        assert 0 < len(line) < 1000
    for label, lines in hardware.table(facts):
        assert label and all(lines)
    hardware.disk_choices(facts)


def test_read_only_disks_are_not_offered() -> None:
    disks = [
        {"path": "/dev/sr0", "size": 1, "read_only": True},
        {"path": "/dev/vda", "serial": "A1", "size": 1 << 30},
    ]
    assert [value for value, _ in hardware.disk_choices({"disks": disks})] == ["serial:A1"]


def event(number: int, at: float, kind: str, **data: object) -> Event:
    return Event(number, at, 1, "52:54:00:00:00:01", 1, kind, kind, data)


def test_a_boot_is_drawn_to_its_full_width_with_every_stage_visible() -> None:
    boot = build(
        [
            event(1, 0.0, "dhcp.discover", stage="firmware"),
            event(2, 1.0, "tftp.start"),
            event(3, 1.001, "http.start"),
            event(4, 100.0, "imager.up"),
            event(5, 101.0, "deploy.progress", done=1, total=4, rate=1.0),
            event(6, 102.0, "deploy.progress", done=2, total=4, rate=1.0),
        ]
    )
    drawn = flight.drawn(boot, 110.0)
    assert [stage.label for stage in drawn.stages] == [
        "firmware",
        "loader",
        "kernel",
        "imager",
        "write image",
    ]
    assert drawn.stages[-1].seconds == pytest.approx(9.0)
    assert sum(stage.width for stage in drawn.stages) == pytest.approx(1000, abs=0.1)
    assert min(stage.width for stage in drawn.stages) > 3
    assert drawn.stages[1].x == pytest.approx(drawn.stages[0].width, abs=0.01)
    assert [line.text for line in drawn.lines].count("deploy.progress") == 1
    assert drawn.seconds == pytest.approx(110.0)


def test_a_failed_boot_is_marked() -> None:
    drawn = flight.drawn(
        build([event(1, 0.0, "imager.up"), event(2, 3.0, "deploy.failed", error="no disk")]), 99.0
    )
    assert drawn.title == "Failed"
    assert [line.tone for line in drawn.lines] == ["", "bad"]
    assert drawn.seconds == 3.0


def test_a_meter_says_nothing_it_does_not_know() -> None:
    assert flight.meter(None).fraction is None
    assert flight.meter(Progress(5, 0, 0.0, None)).percent is None
    assert flight.meter(Progress(20, 10, 1.0, None)).fraction == 1.0
