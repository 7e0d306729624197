"""The stream of events: complete, in order, resumable, bounded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from webhouse import House

from bootsrv.model import Event
from webui import live
from webui.hub import EventHub
from webui.server import LIVE_PAGES


def event(number: int, kind: str = "dhcp.discover", node: int | None = 1) -> Event:
    return Event(number, float(number), node, None, None, kind, "", {})


class Tape:
    """A registry's event table, as short as can be."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asked = 0
        self.broken = False

    def fetch(self, since: int, limit: int) -> list[Event]:
        self.asked += 1
        if self.broken:
            raise OSError("database is locked")
        return [event for event in self.events if event.id > since][:limit]


@pytest.fixture
def tape() -> Tape:
    return Tape()


def collect(hub: EventHub, last: int, wanted: int, seconds: float = 5.0) -> tuple[list[int], bool]:
    found: list[int] = []
    whole = True
    end = time.monotonic() + seconds
    while len(found) < wanted and time.monotonic() < end:
        events, complete, last = hub.after(last, 0.2)
        whole = whole and complete
        found += [event.id for event in events]
    return found, whole


def test_events_come_once_and_in_order(tape: Tape) -> None:
    hub = EventHub(tape.fetch, poll=0.01)
    tape.events = [event(n) for n in range(1, 51)]
    hub.join(10)
    assert collect(hub, 10, 40) == (list(range(11, 51)), True)
    tape.events += [event(n) for n in range(51, 61)]
    assert collect(hub, 50, 10) == (list(range(51, 61)), True)
    hub.leave()


def test_a_page_that_was_away_too_long_is_told(tape: Tape) -> None:
    hub = EventHub(tape.fetch, kept=20, poll=0.01)
    tape.events = [event(n) for n in range(1, 101)]
    hub.join(0)
    collect(hub, 99, 1)
    events, whole, last = hub.after(5, 0.1)
    assert not whole
    assert last == 100
    events, whole, last = hub.after(85, 0.1)
    assert whole
    assert [event.id for event in events] == list(range(86, 101))
    hub.leave()


def test_a_page_older_than_the_first_one_is_told(tape: Tape) -> None:
    hub = EventHub(tape.fetch, poll=0.01)
    hub.join(100)
    assert hub.after(40, 0.05)[1] is False
    assert hub.after(100, 0.05)[1] is True
    hub.leave()


def test_nobody_listens_nobody_asks(tape: Tape) -> None:
    hub = EventHub(tape.fetch, poll=0.01)
    hub.join(0)
    time.sleep(0.1)
    hub.leave()
    time.sleep(0.1)
    before = tape.asked
    time.sleep(0.1)
    assert tape.asked == before
    hub.join(0)
    tape.events = [event(1)]
    assert collect(hub, 0, 1) == ([1], True)
    hub.leave()


def test_the_feed_survives_a_database_that_fails_for_a_while(tape: Tape) -> None:
    hub = EventHub(tape.fetch, poll=0.01)
    tape.broken = True
    hub.join(0)
    time.sleep(0.05)
    tape.events, tape.broken = [event(1)], False
    assert collect(hub, 0, 1) == ([1], True)
    hub.leave()


def test_only_the_newest_progress_of_each_machine_is_sent() -> None:
    events = [
        event(1, "deploy.progress", 1),
        event(2, "deploy.progress", 2),
        event(3),
        event(4, "deploy.progress", 1),
    ]
    assert [event.id for event in live.thinned(events)] == [2, 3, 4]


def read(body: Iterator[bytes], wanted: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    text = ""
    for piece in body:
        text += piece.decode()
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            fields = dict(
                line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":"
            )
            if "data" in fields:
                found.append(
                    {"id": int(fields["id"]), "event": fields.get("event"), **json.loads(fields["data"])}
                )
        if len(found) >= wanted:
            break
    return found


def test_the_stream_resumes_after_the_last_event_seen(admin, house: House) -> None:
    node = house.seen("52:54:00:00:00:01")
    ids = [house.tell(node, "dhcp.discover", f"step {n}") for n in range(4)]
    answer = admin.get(f"/events/stream?since={ids[0]}", headers={"Last-Event-ID": str(ids[1])})
    assert answer.mimetype == "text/event-stream"
    got = read(answer.response, 2)
    answer.close()
    assert [(item["id"], item["text"]) for item in got] == [(ids[2], "step 2"), (ids[3], "step 3")]
    assert got[0]["mac"] == "52:54:00:00:00:01"


def test_the_stream_starts_now_when_nothing_is_said(admin, house: House) -> None:
    node = house.seen("52:54:00:00:00:01")
    house.tell(node, "dhcp.discover", "old")
    for query in ("", "?since=junk", "?since=99999999999999999999999"):
        answer = admin.get(f"/events/stream{query}")
        house.tell(node, "dhcp.discover", "new")
        assert [item["text"] for item in read(answer.response, 1)] == ["new"]
        answer.close()


@pytest.mark.parametrize("since", ["999999999", "1"])
def test_a_page_with_a_number_that_does_not_fit_looks_anew_and_disturbs_nobody(
    admin, house: House, since: str
) -> None:
    """The registry was restored from a backup, or the page slept for a week."""
    node = house.seen("52:54:00:00:00:01")
    with house.appliance.registry.transaction():
        for number in range(live.MOST_MISSED + 10):
            newest = house.tell(node, "dhcp.discover", f"old {number}")
    strange = admin.get(f"/events/stream?since={since}")
    assert next(iter(strange.response)) == b"retry: 2000\n\n"
    assert next(iter(strange.response)) == b"id: %d\nevent: reset\ndata: {}\n\n" % newest
    other = admin.get("/events/stream")
    next(iter(other.response))
    house.tell(node, "dhcp.discover", "new")
    for answer in (strange, other):
        assert [item["text"] for item in read(answer.response, 1)] == ["new"]
        answer.close()


def test_live_pages_are_counted_and_bounded(admin, app: Flask, house: House) -> None:
    open_pages = [admin.get("/events/stream") for _ in range(LIVE_PAGES)]
    for page in open_pages:
        next(iter(page.response))
    refused = admin.get("/events/stream")
    assert refused.status_code == 503
    assert "live" in refused.json["error"]["reason"]
    for page in open_pages:
        page.close()
    again = admin.get("/events/stream")
    assert again.status_code == 200
    again.close()
    assert app.extensions["hub"].pages == 0


def test_a_server_that_ends_closes_the_streams(house: House) -> None:
    from webui.app import create_app

    ending: list[int] = []
    app = create_app(house.appliance, "s", stopping=lambda: bool(ending))
    hub: EventHub = app.extensions["hub"]
    with app.test_request_context():
        from webui.names import Names

        body = live._messages(hub, Names(house.appliance), 0, app.extensions["stopping"])
        next(body)
        ending.append(1)
        assert list(body) == []
    assert hub.pages == 0
