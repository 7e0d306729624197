"""Coverage-guided fuzzing of syslog: datagrams and streams.

    python tests/fuzz/fuzz_syslog.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any bytes are a message or a WireError, without a control character in any field; a stream gives
the same frames however it is cut, and keeps no more than one unfinished line.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

with atheris.instrument_imports(include=["pxe"]):
    from pxe.errors import WireError
    from pxe.syslog.wire import LONGEST, build, parse, split

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def seeds() -> list[bytes]:
    """As busybox, rsyslog and RFC 5424 have them; streams with both kinds of framing."""
    return [
        b"<14>Nov 28 06:38:31 anna[2583]: DEBUG: retrieving busybox",
        b"<13>Nov 28 06:57:46 n1 anaconda[1890]: Thread Done",
        b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed",
        b'<165>1 2003-10-11T22:14:15.003Z h e - ID47 [x@32473 iut="3" a="b\\"x"][o@1] An event',
        b"<0>Use the BFG!\n<1>x\n",
        b"7 <14>one8 <14>a\nb\n<14>x\n",
    ]


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    try:
        message = parse(data)
        assert not CONTROL.search("".join(str(getattr(message, name)) for name in message.__slots__))
        parse(build(message)[:LONGEST])
    except WireError:
        pass
    try:
        whole, rest = split(data)
    except WireError:
        return
    assert len(rest) <= LONGEST + 8
    cut = len(data) // 2
    try:
        first, middle = split(data[:cut])
        second, end = split(middle + data[cut:])
    except WireError:
        return
    assert (first + second, end) == (whole, rest)


if __name__ == "__main__":
    from harness import fuzz

    fuzz(one, seeds())
