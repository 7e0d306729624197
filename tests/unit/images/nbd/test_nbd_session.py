"""The handshake and the judgement of requests, without a socket."""

from __future__ import annotations

import struct

import pytest

from images.nbd import wire
from images.nbd.session import Asked, Export, Session, fault, status
from images.nbd.wire import Answer, Command, Error, Option, OptionRequest, Request, WireError

HELLO = struct.pack(">I", 3)
READ_ONLY, WRITABLE = Export(1 << 20), Export(1 << 20, True, 512)


def option(number: int, data: bytes = b"") -> bytes:
    return wire.build_option(OptionRequest(number, data))


def go(name: str, number: int = Option.GO) -> bytes:
    return option(number, wire.build_go(wire.Go(name, (3,))))


def replies(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while data:
        magic, number, kind, length = struct.unpack_from(">QIII", data)
        assert magic == wire.REPLY_MAGIC
        found.append((number, kind, data[20 : 20 + length]))
        data = data[20 + length :]
    return found


def contexts(*queries: bytes, name: str = "a", number: int = Option.SET_META_CONTEXT) -> bytes:
    return option(number, wire.build_contexts(wire.Contexts(name, queries)))


class TestHandshake:
    def test_to_an_export_byte_by_byte(self) -> None:
        session, asked = Session(), None
        for byte in HELLO + go("a@1"):
            assert asked is None
            out, asked = session.feed(bytes([byte]))
            assert out == b""
        assert asked == Asked("a@1", Option.GO)
        out, _ = session.allow(READ_ONLY)
        kinds = [(kind, body) for _, kind, body in replies(out)]
        assert kinds[0] == (Answer.INFO, wire.export_info(1 << 20, READ_ONLY.flags))
        assert kinds[-1] == (Answer.ACK, b"") and session.export is READ_ONLY

    def test_info_asks_and_goes_on(self) -> None:
        session = Session()
        _, asked = session.feed(HELLO + go("a", Option.INFO) + go("b"))
        assert asked == Asked("a", Option.INFO)
        out, asked = session.refuse(Answer.POLICY, "no")
        assert replies(out) == [(Option.INFO, Answer.POLICY, b"no")] and asked == Asked("b", Option.GO)
        session.allow(WRITABLE)
        assert session.export is WRITABLE and session.rest() == b""

    def test_the_old_way(self) -> None:
        session = Session()
        _, asked = session.feed(struct.pack(">I", 1) + option(Option.EXPORT_NAME, b"a") + b"more")
        assert asked == Asked("a", Option.EXPORT_NAME)
        out, _ = session.allow(READ_ONLY)
        assert out == struct.pack(">QH", 1 << 20, READ_ONLY.flags) + bytes(124)
        assert session.rest() == b"more"
        session = Session()
        session.feed(HELLO + option(Option.EXPORT_NAME, b"a"))
        with pytest.raises(WireError):
            session.refuse(Answer.POLICY, "no")

    def test_contexts(self) -> None:
        session = Session()
        out, _ = session.feed(HELLO + contexts(b"base:allocation"))
        assert replies(out)[0][1] == Answer.INVALID  # structured replies come first
        out, _ = session.feed(option(Option.STRUCTURED_REPLY) + contexts(b"x:y", b"base:allocation"))
        assert [kind for _, kind, _ in replies(out)] == [Answer.ACK, Answer.META_CONTEXT, Answer.ACK]
        out, _ = session.feed(contexts(number=Option.LIST_META_CONTEXT))
        assert replies(out)[0][2] == struct.pack(">I", 0) + b"base:allocation"
        session.feed(go("a"))
        session.allow(READ_ONLY)
        assert session.structured and session.allocation

    def test_contexts_are_for_one_export(self) -> None:
        session = Session()
        session.feed(HELLO + option(Option.STRUCTURED_REPLY) + contexts(b"base:allocation", name="b"))
        session.feed(go("a"))
        session.allow(READ_ONLY)
        assert not session.allocation

    def test_what_is_not_spoken_is_said(self) -> None:
        session = Session()
        out, _ = session.feed(HELLO + option(Option.STARTTLS) + option(99, b"x") + option(Option.LIST))
        assert [kind for _, kind, _ in replies(out)] == [
            Answer.UNSUPPORTED, Answer.UNSUPPORTED, Answer.POLICY
        ]  # fmt: skip
        out, _ = session.feed(option(Option.GO, b"\0") + option(Option.ABORT))
        assert [kind for _, kind, _ in replies(out)] == [Answer.INVALID, Answer.ACK] and session.ended

    @pytest.mark.parametrize(
        "data",
        [
            struct.pack(">I", 4), HELLO + b"GET / HTTP",
            HELLO + struct.pack(">8sII", b"IHAVEOPT", 7, 1 << 20),
            HELLO + option(Option.EXPORT_NAME, b"\xff"), HELLO + option(99) * 65,
        ],
    )  # fmt: skip
    def test_nonsense_ends_it(self, data: bytes) -> None:
        with pytest.raises(WireError):
            Session().feed(data)


def request(command: int, offset: int = 0, length: int = 4096, flags: int = 0) -> Request:
    return Request(wire.REQUEST_MAGIC, flags, command, 1, offset, length)


@pytest.mark.parametrize(
    ("export", "asked", "error"),
    [
        (READ_ONLY, request(Command.READ), 0),
        (READ_ONLY, request(Command.READ, 1, 1), 0),
        (READ_ONLY, request(Command.READ, (1 << 20) - 1, 2), Error.EINVAL),
        (READ_ONLY, request(Command.READ, 1 << 63, 1 << 31), Error.EINVAL),
        (READ_ONLY, request(Command.READ, 0, 0), Error.EINVAL),
        (READ_ONLY, request(Command.READ, flags=16), Error.EINVAL),
        (Export(1 << 40), request(Command.READ, 0, wire.MOST_LENGTH + 1), Error.EINVAL),
        (READ_ONLY, request(Command.WRITE), Error.EPERM),
        (READ_ONLY, request(Command.TRIM), Error.EPERM),
        (READ_ONLY, request(Command.WRITE_ZEROES), Error.EPERM),
        (READ_ONLY, request(Command.FLUSH, 0, 0), 0),
        (READ_ONLY, request(77), Error.EINVAL),
        (READ_ONLY, request(Command.BLOCK_STATUS), Error.EINVAL),
        (WRITABLE, request(Command.WRITE, flags=wire.FUA), 0),
        (WRITABLE, request(Command.WRITE, 100, 512), Error.EINVAL),
        (WRITABLE, request(Command.WRITE, 1 << 20), Error.ENOSPC),
        (WRITABLE, request(Command.TRIM, 0, 1 << 20), 0),
        (Export(1000, True, 512), request(Command.READ, 512, 488), 0),
    ],
)
def test_requests_are_judged(export: Export, asked: Request, error: int) -> None:
    assert fault(export, asked, False) == error


def test_status() -> None:
    rows = status([(100, 200), (300, 400)], 50, 400, False)
    assert rows == [(50, 3), (100, 0), (100, 3), (100, 0), (50, 3)]
    assert status([(0, 400)], 0, 400, True) == [(400, 0)]
    assert status([], 0, 400, False) == [(400, 3)]
