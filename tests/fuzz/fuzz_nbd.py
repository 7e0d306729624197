"""Coverage-guided fuzzing of the block device's server side: the handshake, and requests after it.

    python tests/fuzz/fuzz_nbd.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any bytes are answered or are a WireError, however they are cut; what was parsed builds to something
that parses to the same; an export is entered only after the question was answered; no answer tells of bytes
beyond the device, and nothing that is to be read only is changed.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

with atheris.instrument_imports(include=["images.nbd"]):
    from images.nbd import wire
    from images.nbd.session import Export, Session, fault
    from images.nbd.wire import Answer, Command, Option, OptionRequest, WireError

EXPORTS = (Export(1 << 20), Export(1 << 20, True, 512), Export(1000), Export(0))


def seeds() -> list[bytes]:
    """What real clients say, with requests behind it."""
    hello = struct.pack(">I", 3)

    def option(number: int, data: bytes = b"") -> bytes:
        return wire.build_option(OptionRequest(number, data))

    go = option(Option.GO, wire.build_go(wire.Go("a@1", ())))
    info = option(Option.INFO, wire.build_go(wire.Go("a@1", (0, 3))))
    wanted = wire.Contexts("a@1", (b"base:allocation",))
    contexts = option(Option.SET_META_CONTEXT, wire.build_contexts(wanted))
    rows = [wire.Request(wire.REQUEST_MAGIC, 0, command, command, 0, 4096) for command in range(8)]
    requests = b"".join(map(wire.build_request, rows))
    return [
        hello + go + requests,  # the kernel's client by netlink
        hello + option(Option.STRUCTURED_REPLY) + contexts + go + requests,  # libnbd, qemu
        hello + option(Option.STARTTLS) + info + option(Option.LIST) + option(Option.ABORT),
        struct.pack(">I", 0) + option(Option.EXPORT_NAME, b"a@1") + requests,
    ]


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    if not data:
        return
    export, step, data = EXPORTS[data[0] & 3], 1 + (data[0] >> 2), data[1:]
    session, out = Session(), b""
    try:
        for at in range(0, len(data), step):
            assert session.export is None
            said, asked = session.feed(data[at : at + step])
            out += said
            while asked is not None:
                assert len(asked.name) <= wire.MOST_NAME
                if len(asked.name) % 3 == 2:
                    said, asked = session.refuse(Answer.POLICY, "no")
                else:
                    said, asked = session.allow(export)
                out += said
            if session.export is not None:
                transmission(export, session, session.rest() + data[at + step :])
                return
            if session.ended:
                return
    except WireError:
        return


def transmission(export: Export, session: Session, data: bytes) -> None:
    """Requests, as if none had data behind it."""
    requests = wire.parse_requests(data)
    assert b"".join(map(wire.build_request, requests)) == data[: 28 * len(requests)]
    for request in requests:
        if fault(export, request, session.allocation):
            continue
        assert request.command in (Command.FLUSH, Command.DISC) or (
            request.offset + request.length <= export.size and request.length
        )
        assert export.writable or request.command not in (Command.WRITE, Command.TRIM, Command.WRITE_ZEROES)


if __name__ == "__main__":
    from harness import fuzz

    fuzz(one, [bytes([first]) + seed for first in (0, 21, 254) for seed in seeds()])
