"""One client's conversation with the server, as decisions: what to answer during the handshake, and whether a
request may be carried out. Pure: bytes and facts in, bytes and questions out.

The handshake ends when the client goes to an export. Whether it may is asked of the one who drives the
session (`Asked`), who answers with `allow` or `refuse`; nothing is read of the client meanwhile. TLS is not
spoken. A client that has not chosen an export after some options is sent away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from images.nbd import wire
from images.nbd.wire import Answer, Command, Error, Flag, Option, OptionReply, Request, WireError

MOST_OPTIONS = 64
_BOTH = Flag.HAS_FLAGS | Flag.SEND_FLUSH | Flag.SEND_CACHE | Flag.SEND_DF
READ_ONLY = _BOTH | Flag.READ_ONLY | Flag.CAN_MULTI_CONN
WRITABLE = _BOTH | Flag.SEND_FUA | Flag.SEND_TRIM | Flag.SEND_WRITE_ZEROES


@dataclass(frozen=True, slots=True)
class Export:
    """What a client may use: `size` in bytes; `least`: what offsets and lengths must be multiples of."""

    size: int
    writable: bool = False
    least: int = 1

    @property
    def flags(self) -> int:
        return int(WRITABLE if self.writable else READ_ONLY)


@dataclass(frozen=True, slots=True)
class Asked:
    """The client wants that export. `option` says how, for the answer."""

    name: str
    option: int


class Session:
    """Feed it the client's bytes until `export` is there; what is left over then is the transmission's."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._flags: int | None = None
        self._options = 0
        self._wanted: tuple[int, ...] = ()
        self._context_of: str | None = None  # the export that base:allocation was agreed on for
        self._asked: Asked | None = None
        self.structured = False
        self.allocation = False
        self.ended = False  # the client said goodbye
        self.export: Export | None = None

    def feed(self, data: bytes) -> tuple[bytes, Asked | None]:
        """What to send, and what to find out before more is fed. Raises WireError: close the connection."""
        self._buffer += data
        if len(self._buffer) > 2 * wire.MOST_OPTION + 64:
            raise WireError("more than can be asked before an export is chosen")
        return self._go_on()

    def allow(self, export: Export) -> tuple[bytes, Asked | None]:
        """The question's answer: it may."""
        asked = self._taken()
        if asked.option == Option.EXPORT_NAME:
            self._enter(asked.name, export)
            return wire.old_export(export.size, export.flags, bool((self._flags or 0) & wire.NO_ZEROES)), None
        out = _reply(asked.option, Answer.INFO, wire.export_info(export.size, export.flags))
        out += _reply(asked.option, Answer.INFO, wire.block_info(export.least, 4096, wire.MOST_LENGTH))
        out += _reply(asked.option, Answer.ACK)
        if asked.option == Option.GO:
            self._enter(asked.name, export)
            return out, None
        more, question = self._go_on()
        return out + more, question

    def refuse(self, kind: Answer, why: str) -> tuple[bytes, Asked | None]:
        """The question's answer: it may not. Raises WireError where the protocol has no word for that."""
        asked = self._taken()
        if asked.option == Option.EXPORT_NAME:
            raise WireError(f"export {asked.name!r} refused")
        more, question = self._go_on()
        return _reply(asked.option, kind, why.encode()[:4096]) + more, question

    def rest(self) -> bytes:
        """What came after the handshake."""
        left, self._buffer = bytes(self._buffer), bytearray()
        return left

    def _taken(self) -> Asked:
        assert self._asked is not None
        asked, self._asked = self._asked, None
        return asked

    def _enter(self, name: str, export: Export) -> None:
        self.export = export
        self.allocation = self.structured and self._context_of == name

    def _go_on(self) -> tuple[bytes, Asked | None]:
        out = b""
        if self._flags is None:
            if len(self._buffer) < 4:
                return out, None
            self._flags = wire.parse_client_flags(bytes(self._buffer[:4]))
            del self._buffer[:4]
        while not self.ended and (found := wire.parse_option(self._buffer)) is not None:
            request, size = found
            del self._buffer[:size]
            self._options += 1
            if self._options > MOST_OPTIONS:
                raise WireError("too many options")
            answer = self._option(request)
            if isinstance(answer, Asked):
                self._asked = answer
                return out, answer
            out += answer
        return out, None

    def _option(self, request: wire.OptionRequest) -> bytes | Asked:
        option = request.option
        if option == Option.EXPORT_NAME:
            return Asked(wire.parse_name(request.data), option)
        try:
            if option in (Option.GO, Option.INFO):
                return Asked(wire.parse_go(request.data).name, option)
            if option in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
                return self._contexts(option, wire.parse_contexts(request.data))
        except WireError as error:
            return _reply(option, Answer.INVALID, str(error).encode())
        if option in (Option.ABORT, Option.STRUCTURED_REPLY, Option.LIST) and request.data:
            return _reply(option, Answer.INVALID, b"this option has no data")
        if option == Option.ABORT:
            self.ended = True
            return _reply(option, Answer.ACK)
        if option == Option.STRUCTURED_REPLY:
            self.structured = True
            return _reply(option, Answer.ACK)
        if option == Option.LIST:
            return _reply(option, Answer.POLICY, b"an export is for who knows its name")
        return _reply(option, Answer.UNSUPPORTED)

    def _contexts(self, option: int, asked: wire.Contexts) -> bytes:
        setting = option == Option.SET_META_CONTEXT
        if not self.structured:
            return _reply(option, Answer.INVALID, b"structured replies come first")
        queries = asked.queries or (() if setting else (b"base:",))
        found = any(query in (b"base:allocation", *(() if setting else (b"base:",))) for query in queries)
        if setting:
            self._context_of = asked.name if found else None
        ack = _reply(option, Answer.ACK)
        if not found:
            return ack
        return _reply(option, Answer.META_CONTEXT, wire.context(1 if setting else 0, wire.ALLOCATION)) + ack


def _reply(option: int, kind: Answer, data: bytes = b"") -> bytes:
    return wire.build_reply(OptionReply(option, kind, data))


def fault(export: Export, request: Request, allocation: bool) -> int:
    """0 when the request may be carried out, else the error it is to be answered with."""
    _, flags, command, _, offset, length = request
    if command in (Command.WRITE, Command.TRIM, Command.WRITE_ZEROES) and not export.writable:
        return Error.EPERM
    known = _FLAGS.get(command)
    if known is None or flags & ~known:
        return Error.EINVAL
    if command in (Command.FLUSH, Command.DISC):
        return 0
    if command == Command.BLOCK_STATUS and not allocation:
        return Error.EINVAL
    if not length or (command in (Command.READ, Command.WRITE) and length > wire.MOST_LENGTH):
        return Error.EINVAL
    if offset + length > export.size:
        return Error.ENOSPC if command in (Command.WRITE, Command.WRITE_ZEROES) else Error.EINVAL
    if (offset % export.least or length % export.least) and offset + length != export.size:
        return Error.EINVAL
    return 0


_FLAGS: dict[int, int] = {
    Command.READ: wire.DF | wire.FUA, Command.WRITE: wire.FUA, Command.DISC: 0xFFFF, Command.FLUSH: wire.FUA,
    Command.TRIM: wire.FUA, Command.CACHE: wire.FUA, Command.WRITE_ZEROES: wire.FUA | wire.NO_HOLE,
    Command.BLOCK_STATUS: wire.REQ_ONE | wire.FUA,
}  # fmt: skip


def status(
    stretches: Sequence[tuple[int, int]], offset: int, length: int, one: bool
) -> list[tuple[int, int]]:
    """(length, status) of what base:allocation says of these bytes; `stretches` (start, end) hold data."""
    out: list[tuple[int, int]] = []
    place, end = offset, offset + length
    for low, high in stretches:
        if low > place:
            out.append((low - place, wire.HOLE_ZERO))
        if high > low:
            out.append((high - low, 0))
        place = high
    if place < end:
        out.append((end - place, wire.HOLE_ZERO))
    return out[:1] if one else out[:_MOST_STRETCHES]


_MOST_STRETCHES = 4096
