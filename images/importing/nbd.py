"""Disk images of virtual machines (qcow2, vmdk, vhdx, vdi) as blocks: qemu-nbd reads them, we ask it.

Its own process, read-only, on a socket in a directory of ours; nothing is unpacked to disk. Protocol: NBD,
fixed newstyle, structured replies only for block status (github.com/NetworkBlockDevice/nbd, doc/proto.md).
Law: an image that refers to other files (backing file, data file) is refused: it would read what it likes.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from images.errors import BadInput, ImageError
from images.workplace import workplace

_CLIENT_FLAGS = struct.pack(">I", 1)
_OPTION, _REPLY = struct.Struct(">QII"), struct.Struct(">QIII")
_IHAVEOPT = 0x49484156454F5054
_GO, _STRUCTURED, _SET_META = 7, 8, 10
_ACK, _INFO = 1, 3
_REQUEST = struct.Struct(">IHHQQI")
_READ, _DISCONNECT, _STATUS = 0, 2, 7
_SIMPLE, _CHUNKED = 0x67446698, 0x668E33EF
_DONE, _OFFSET_DATA, _OFFSET_HOLE, _BLOCK_STATUS = 1, 1, 2, 5
_ZERO = 2  # of base:allocation
_MOST = 16 << 20  # bytes of one request
_SPAN = 1 << 30  # bytes asked of block status at once
_PATIENCE = 60.0  # seconds for qemu-nbd to open an image


def describe(path: Path) -> str:
    """The image's format as qemu-img names it. Raises BadInput when it cannot be imported."""
    if shutil.which("qemu-nbd") is None:
        raise BadInput("qemu-nbd is missing on this machine; install the package qemu-utils")
    done = subprocess.run(["qemu-img", "info", "--output=json", str(path)], capture_output=True, text=True)
    if done.returncode:
        raise BadInput(f"{path}: {done.stderr.strip()[-300:]}")
    said = json.loads(done.stdout)
    inner = said.get("format-specific", {}).get("data", {})
    extents = inner.get("extents", [])
    others = said.get("backing-filename") or inner.get("data-file") or len(extents) > 1
    if others or any(Path(str(one.get("filename", path))).name != path.name for one in extents):
        raise BadInput(f"{path} needs other files; make it one: qemu-img convert -O qcow2 {path} WHOLE.qcow2")
    return str(said["format"])


class NbdDevice:
    """Such an image as a device. Use as a context manager."""

    sector = 512
    physical = 512

    def __init__(self, path: Path, kind: str) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-nbd", "--read-only", f"--format={kind}"]
        with ExitStack() as stack:
            where = stack.enter_context(workplace("nbd", Path(tempfile.gettempdir()))) / "socket"
            self._process = subprocess.Popen(
                [*command, f"--socket={where}", "--persistent", str(path)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            self._work = stack.pop_all()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._connect(where, path)
            self._agree()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> NbdDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End qemu-nbd and remove the socket."""
        with suppress(OSError):
            self._socket.sendall(_REQUEST.pack(0x25609513, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()
        self._process.terminate()
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
        self._work.close()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises BadInput beyond the end, ImageError when the image cannot be read."""
        if offset < 0 or offset + length > self.size:
            raise BadInput(f"ends at {self.size} although {length} bytes from {offset} are needed")
        out = bytearray()
        while len(out) < length:
            out += self._read(offset + len(out), min(_MOST, length - len(out)))
        return bytes(out)

    def _read(self, offset: int, length: int) -> bytearray:
        self._ask(_READ, offset, length)
        out = bytearray(length)
        for kind, body in self._replies(length):
            at = struct.unpack_from(">Q", body)[0] - offset if kind in (_OFFSET_DATA, _OFFSET_HOLE) else 0
            if kind == _OFFSET_DATA:
                out[at : at + len(body) - 8] = body[8:]
        return out

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """By the image's own map of what is allocated."""
        place = start
        while place < end:
            span = min(_SPAN, end - place)
            self._ask(_STATUS, place, span)
            for kind, body in self._replies(0):
                if kind != _BLOCK_STATUS:
                    continue
                for length, flags in struct.iter_unpack(">II", body[4:]):
                    if not flags & _ZERO and place < end:
                        yield place, min(length, end - place)
                    place += length

    def _connect(self, where: Path, path: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise BadInput(f"{path}: {self._process.stderr.read().strip()[-300:]}")
            try:
                self._socket.connect(str(where))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise ImageError(f"{path}: qemu-nbd does not answer") from None
                time.sleep(0.01)

    def _agree(self) -> None:
        """The handshake: structured replies, the map of allocation, then the size."""
        self._take(18)
        self._socket.sendall(_CLIENT_FLAGS)
        self._option(_STRUCTURED, b"")
        context = b"base:allocation"
        self._option(_SET_META, struct.pack(">III", 0, 1, len(context)) + context)
        for kind, body in self._option(_GO, struct.pack(">IH", 0, 0)):
            if kind == _INFO and body[:2] == b"\0\0":
                self.size = int(struct.unpack_from(">Q", body, 2)[0])

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        self._socket.sendall(_OPTION.pack(_IHAVEOPT, option, len(data)) + data)
        found: list[tuple[int, bytes]] = []
        while True:
            _, _, kind, length = _REPLY.unpack(self._take(_REPLY.size))
            body = self._take(length)
            if kind & 1 << 31:
                raise ImageError(f"qemu-nbd refused option {option}: {body.decode('utf-8', 'replace')}")
            if kind == _ACK:
                return found
            found.append((kind, body))

    def _ask(self, command: int, offset: int, length: int) -> None:
        self._socket.sendall(_REQUEST.pack(0x25609513, 0, command, 0, offset, length))

    def _replies(self, simple: int) -> Iterator[tuple[int, bytes]]:
        """(type, payload) of each chunk of the answer. A simple answer is `simple` bytes of data."""
        while True:
            magic = struct.unpack(">I", self._take(4))[0]
            if magic == _SIMPLE:
                error = struct.unpack(">IQ", self._take(12))[0]
                if error:
                    raise ImageError(f"the image cannot be read: qemu-nbd says error {error}")
                yield 0, self._take(simple)
                return
            flags, kind, _, length = struct.unpack(">HHQI", self._take(16))
            body = self._take(length)
            if kind & 1 << 15:
                said = body[6:].decode("utf-8", "replace")
                raise ImageError(f"the image cannot be read: qemu-nbd says {said}")
            yield kind, body
            if flags & _DONE:
                return

    def _take(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            part = self._socket.recv(size - len(out))
            if not part:
                raise ImageError("qemu-nbd ended while the image was read")
            out += part
        return bytes(out)
