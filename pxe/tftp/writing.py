"""A client writes (only where the house lets it): hands blocks from the Receiver to an Upload.

The law: an Upload sees each byte once, in order, and ends in exactly one of `finish` and `abort`; the client
gets its last ACK only after `finish` returned.
"""

from __future__ import annotations

import errno
import socket

from pxe.errors import WireError
from pxe.hub import Watch
from pxe.ports import PeerJournal
from pxe.tftp.exchange import Call, Exchange
from pxe.tftp.netascii import Decoder
from pxe.tftp.ports import Upload
from pxe.tftp.upload import Receiver
from pxe.tftp.wire import Code, Data, Error, parse


class Writing(Exchange):
    """One write transfer."""

    at_once, longest = 64, 65536

    def __init__(
        self,
        sock: socket.socket,
        call: Call,
        journal: PeerJournal,
        watch: Watch,
        upload: Upload,
        receiver: Receiver,
        netascii: bool,
    ) -> None:
        super().__init__(sock, call, journal, watch)
        self._upload: Upload | None = upload
        self._receiver = receiver
        self._decoder = Decoder() if netascii else None
        self._bytes = 0
        self._limit = upload.limit

    def begin(self) -> None:
        """Invite the client to send."""
        super().begin()
        self._put(self._receiver.start(self._loop.time()))
        self._arm(self._receiver.deadline)

    def close(self) -> None:
        """Give everything back; an upload that is not finished is aborted."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abort("the transfer ended early")
        super().close()

    def _received(self, raw: bytes, now: float) -> None:
        try:
            packet = parse(raw)
        except WireError:
            return
        if isinstance(packet, Error):
            self._refused(packet.text or f"error {packet.code}")
        elif isinstance(packet, Data):
            self._data(packet, now)

    def _data(self, packet: Data, now: float) -> None:
        self.answered = True
        was_done = self._receiver.done
        kept, reply = self._receiver.data(packet.block, packet.payload, now)
        if self._receiver.failed:
            self._fail(Code.ILLEGAL, self._receiver.failed)
            return
        if kept and not self._keep(kept):
            return
        if self._receiver.done and not was_done and not self._finish():
            return
        if reply is not None:
            self._put(reply)
        self._arm(self._receiver.deadline)

    def _keep(self, piece: bytes) -> bool:
        text = self._decoder.feed(piece) if self._decoder else piece
        self._bytes += len(text)
        if self._bytes > self._limit:
            self._fail(Code.DISK_FULL, f"more than the {self._limit} bytes that are allowed")
            return False
        return self._store(text)

    def _store(self, text: bytes) -> bool:
        assert self._upload is not None, "blocks after the end are not kept"
        try:
            self._upload.write(text)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._fail(Code.DISK_FULL if full else Code.OTHER, error.strerror or str(error))
            return False
        return True

    def _finish(self) -> bool:
        if self._decoder and (rest := self._decoder.finish()) and not self._store(rest):
            return False
        upload, self._upload = self._upload, None
        assert upload is not None, "an upload ends once"
        try:
            upload.finish()
        except OSError as error:
            self._fail(Code.OTHER, error.strerror or str(error))
            return False
        self._note("tftp.upload", f"{self.call.name} received, {self._bytes} bytes", bytes=self._bytes)
        return True

    def _expired(self, now: float) -> None:
        if self._receiver.done:
            if now >= self._receiver.deadline:
                self.close()
                return
        elif (again := self._receiver.tick(now)) is not None:
            self._put(again)
        if self._receiver.failed:
            self._fail(Code.OTHER, self._receiver.failed, tell=False)
            return
        self._arm(self._receiver.deadline)

    def _refused(self, reason: str) -> None:
        if self._receiver.done:
            self.close()
        else:
            self._fail(Code.OTHER, reason, tell=False)
