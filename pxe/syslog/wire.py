"""Syslog messages: bytes to records and back. RFC 5424 (today's), RFC 3164 (busybox and most others).

RFC 3164 describes what was seen, not what is right: everything but the priority may be missing, so what does
not fit is message. The law: any bytes are a record or a WireError; no record's text has a control character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pxe.errors import WireError

LONGEST = 8192  # bytes; RFC 5424 6.1: receivers should take 2048
_HEAD = re.compile(rb"<(0|[1-9][0-9]{0,2})>")
_NEW = re.compile(r"1 (\S{1,48}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) ")
_OLD = re.compile(r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d ")
_HOST_TAG = re.compile(
    r"(?:(?P<host>[A-Za-z0-9.:_-]{0,254}[A-Za-z0-9._-]) )?"
    r"(?P<tag>[^\s:\[\]]{1,48})(?:\[(?P<pid>[^\]\s]{1,32})\])?: ?"
)
_ELEMENT = re.compile(r'\[[^\s="\]]{1,32}(?: [^\s="\]]{1,32}="(?:\\.|[^"\\\]])*")*\]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
NIL = "-"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `stamp` as it was sent: the clock of a machine that is being installed means nothing."""

    facility: int  # 0 to 23
    severity: int  # 0 emergency to 7 debug
    text: str
    program: str = ""
    pid: str = ""
    host: str = ""
    stamp: str = ""


def parse(data: bytes) -> Message:
    """One datagram, or one line of a stream. Raises WireError."""
    if len(data) > LONGEST:
        raise WireError(f"a syslog message of {len(data)} bytes")
    found = _HEAD.match(data)
    if found is None:
        raise WireError("no priority")
    priority = int(found[1])
    if priority > 191:
        raise WireError(f"priority {priority}")
    text = data[found.end() :].decode("utf-8", "replace")
    modern = _NEW.match(text)
    if modern is not None:
        return _modern(priority, modern, text[modern.end() :])
    return _old(priority, text)


def _modern(priority: int, head: re.Match[str], rest: str) -> Message:
    stamp, host, program, pid, _ = (_plain(word) for word in head.groups())
    if rest.startswith(NIL):
        rest = rest[1:]
    else:
        while found := _ELEMENT.match(rest):
            rest = rest[found.end() :]
    text = rest.removeprefix(" ").removeprefix("\ufeff")
    return Message(priority >> 3, priority & 7, clean(text), program, pid, host, stamp)


def _old(priority: int, text: str) -> Message:
    stamp = found[0].strip() if (found := _OLD.match(text)) else ""
    rest = text[found.end() :] if found else text
    tag = _HOST_TAG.match(rest)
    if tag is None:
        return Message(priority >> 3, priority & 7, clean(rest), stamp=stamp)
    return Message(
        priority >> 3, priority & 7, clean(rest[tag.end() :]), clean(tag["tag"]), clean(tag["pid"] or ""),
        clean(tag["host"] or ""), stamp,
    )  # fmt: skip


def _plain(word: str) -> str:
    return "" if word == NIL else clean(word)


def clean(text: str) -> str:
    """Text without control characters; a line feed inside is a space."""
    return _CONTROL.sub(" ", text).strip()


def build(message: Message) -> bytes:
    """The message in the form of RFC 5424: for tests, and for whoever forwards."""
    words = (message.stamp or NIL, message.host or NIL, message.program or NIL, message.pid or NIL, NIL, NIL)
    head = (
        f"<{message.facility << 3 | message.severity}>1 {' '.join(word.replace(' ', '_') for word in words)}"
    )
    return f"{head} {message.text}".encode()


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The frames of a TCP stream, and what is left of it (RFC 6587: counted octets, or ended by a line feed,
    which is what rsyslog does). Raises WireError when it can be neither."""
    frames: list[bytes] = []
    while buffer:
        if counted := re.match(rb"([1-9][0-9]{0,4}) (?=<)", buffer):
            size = int(counted[1])
            if size > LONGEST:
                raise WireError(f"a syslog message of {size} bytes")
            if len(buffer) < counted.end() + size:
                return frames, buffer
            frames.append(buffer[counted.end() : counted.end() + size])
            buffer = buffer[counted.end() + size :]
            continue
        line, feed, rest = buffer.partition(b"\n")
        if not feed:
            if len(buffer) > LONGEST:
                raise WireError("a syslog line without an end")
            return frames, buffer
        if line.strip(b"\r\0 "):
            frames.append(line.rstrip(b"\r\0"))
        buffer = rest
    return frames, b""
