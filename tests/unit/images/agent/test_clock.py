"""A clock that is far off is set by the server's; one that is nearly right is left alone."""

import time

import pytest

from images.agent import clock


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0), (None, None), ("", None), ("yesterday", None)],
)
def test_http_dates(header, seconds):
    assert clock.server_time(header) == seconds


def test_only_a_far_clock_is_set(monkeypatch):
    done = []
    monkeypatch.setattr(clock.time, "clock_settime", lambda which, value: done.append(value))
    monkeypatch.setattr(clock.subprocess, "run", lambda *a, **k: None)
    near = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert clock.adjust(near) is None and clock.adjust(None) is None and done == []
    assert "set to the server's" in (clock.adjust("Sun, 06 Nov 1994 08:49:37 GMT") or "")
    assert done == [784111777.0]
