"""Syslog messages as programs really send them, and as nobody should."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.errors import WireError
from pxe.syslog.allowance import Allowance
from pxe.syslog.wire import LONGEST, Message, build, parse, split

SEEN = [
    # busybox syslogd -R, as Debian's installer has it: no host name
    (b"<14>Nov 28 06:38:31 anna[2583]: DEBUG: retrieving busybox", Message(
        1, 6, "DEBUG: retrieving busybox", "anna", "2583", "", "Nov 28 06:38:31")),
    (b"<14>Nov 28 06:37:40 main-menu[322]: INFO: Menu item 'network-preseed' selected\n", Message(
        1, 6, "INFO: Menu item 'network-preseed' selected", "main-menu", "322", "", "Nov 28 06:37:40")),
    (b"<6>Nov 28 06:38:32 kernel: [  120.058436] anna[2583]: segfault at 40", Message(
        0, 6, "[  120.058436] anna[2583]: segfault at 40", "kernel", "", "", "Nov 28 06:38:32")),
    (b"<13>Nov 28 08:04:51 base-installer: error: exiting on error base-installer/x", Message(
        1, 5, "error: exiting on error base-installer/x", "base-installer", "", "", "Nov 28 08:04:51")),
    # rsyslog, as Anaconda's has it
    (b"<13>Nov 28 06:57:46 n1 anaconda[1890]: Thread Done: AnaTask", Message(
        1, 5, "Thread Done: AnaTask", "anaconda", "1890", "n1", "Nov 28 06:57:46")),
    (b"<30>Nov  8 06:57:46 n1.cluster.test systemd[1]: Started X.", Message(
        3, 6, "Started X.", "systemd", "1", "n1.cluster.test", "Nov  8 06:57:46")),
    # RFC 5424 6.5, the examples
    (b"<34>1 2003-10-11T22:14:15.003Z mymachine.example su - ID47 - \xef\xbb\xbf'su root' failed", Message(
        4, 2, "'su root' failed", "su", "", "mymachine.example", "2003-10-11T22:14:15.003Z")),
    (b'<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App\\"x"]'
     b"[other@1] An application event", Message(
        20, 5, "An application event", "evntslog", "", "h", "2003-10-11T22:14:15.003Z")),
    # RFC 3164 5.4: a text and nothing more
    (b"<0>Use the BFG!", Message(0, 0, "Use the BFG!")),
    (b"<191>", Message(23, 7, "")),
    (b"<14>\xff\xfe\x1b[31mred\x00", Message(1, 6, "\ufffd\ufffd [31mred")),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), SEEN)
def test_as_it_was_seen(data: bytes, message: Message) -> None:
    assert parse(data) == message


@pytest.mark.parametrize("data", [b"", b"no priority", b"<192>x", b"<01>x", b"<1000>x", b"<-1>x",
                                  b"<14>" + b"x" * LONGEST])  # fmt: skip
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(WireError):
        parse(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    for start in (b"", b"<14>", b"<14>1 ", b"<14>Nov 28 06:38:31 "):
        try:
            message = parse(start + data)
        except WireError:
            continue
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", f"{message}")
        assert parse(build(message)) == parse(build(parse(build(message))))


def test_a_stream_is_lines_or_counted() -> None:
    assert split(b"<14>one\n<14>two\r\n<14>thr") == ([b"<14>one", b"<14>two"], b"<14>thr")
    assert split(b"7 <14>one8 <14>a\nb\n<14>x\n") == ([b"<14>one", b"<14>a\nb\n", b"<14>x"], b"")
    assert split(b"7 <14>o") == ([], b"7 <14>o")
    assert split(b"\n\0\n") == ([], b"")
    with pytest.raises(WireError):
        split(b"99999 <14>x")
    with pytest.raises(WireError):
        split(b"x" * (LONGEST + 1))


@given(st.lists(st.binary(min_size=1, max_size=60)), st.integers(1, 50))
def test_however_a_stream_is_cut_the_frames_are_the_same(parts: list[bytes], step: int) -> None:
    data = b"".join(part.replace(b"\n", b"") + b"\n" for part in parts)
    whole, _ = split(data)
    buffer, found = b"", []
    for start in range(0, len(data), step):
        frames, buffer = split(buffer + data[start : start + step])
        found += frames
    assert found == whole


def test_an_allowance_is_a_burst_and_then_a_rate() -> None:
    given = Allowance(burst=3, rate=2)
    assert [given.take("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert given.take("b", 0.0), "each peer has its own"
    assert [given.take("a", 1.0) for _ in range(3)] == [True, True, False]


def test_peers_without_number_take_no_memory_without_bound() -> None:
    given = Allowance(most=10)
    assert all(given.take(str(number), 0.0) for number in range(1000))
    assert len(given._left) == 10
