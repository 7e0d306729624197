"""What is too much for the server never keeps the rest from it, and a log never stops the work."""

import pytest

from images.agent.client import Refused
from images.agent.reporter import BATCH, LONGEST_LINE, Reporter

LIMIT = 5000


class Server:
    """Takes no request over LIMIT bytes."""

    def __init__(self):
        self.events, self.lines = [], []

    def post_json(self, path, events):
        if sum(len(repr(event)) for event in events) > LIMIT:
            raise Refused(413, "too much")
        self.events += events

    def post_text(self, path, text):
        if len(text) > LIMIT:
            raise Refused(413, "too much")
        self.lines += text.splitlines()


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def reporter(server):
    made = Reporter(server)
    yield made
    made.close()


def test_an_event_that_is_too_large_goes_without_its_data(server, reporter):
    reporter.event("imager.up", "up")
    reporter.event("imager.odd", "odd", id="7", more="x" * 2 * LIMIT)
    reporter.event("deploy.started", "started", id="7")
    assert reporter.flush(20)
    assert [(e["kind"], e["data"]) for e in server.events] == [
        ("imager.up", {}), ("imager.odd", {"id": "7"}), ("deploy.started", {"id": "7"}),
    ]  # fmt: skip


def test_a_text_that_is_too_long_is_cut(server, reporter):
    reporter.event("deploy.failed", "y" * 2 * LIMIT)
    assert reporter.flush(20)
    assert server.events[0]["text"] == "y" * 200


def test_a_log_that_is_not_taken_stops_nothing(server, reporter):
    for _ in range(100):
        reporter.log("z" * 100)
    reporter.event("deploy.started", "started")
    assert reporter.flush(20)
    assert [event["kind"] for event in server.events] == ["deploy.started"]


def test_a_batch_of_the_longest_lines_fits_what_the_house_takes():
    assert BATCH * (LONGEST_LINE * 4 + 1) < 256 * 1024


def test_what_is_refused_for_another_reason_is_said(server, reporter):
    def no(path, events):
        raise Refused(409, "taken back")

    server.post_json = no
    reporter.event("deploy.started", "started")
    with pytest.raises(Refused, match="taken back"):
        reporter.flush(20)
