"""Blocks on their way out, with as few system calls as the kernel allows.

The blocks are read from the file straight into their places between the headers of one buffer. Of a window,
one call hands over up to 64 equal datagrams, which the kernel (or the card) cuts apart: UDP segmentation
offload (Linux 4.18+, older ones refuse the option). Cards and paths that cannot do it answer EIO, EINVAL or
EMSGSIZE; from then on this transfer sends plainly. In lockstep many blocks are made ready by one call, and
then leave one at a time.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from array import array
from collections.abc import Callable

from pxe.tftp.source import Source
from pxe.tftp.wire import DATA

UDP_SEGMENT = 103
_SEGMENTS = 64  # per call
_BYTES = 65507  # largest UDP payload: the bound of one call
_OTHERS = 512  # bytes; packets that are no DATA are shorter, and must not be cut apart
_CANNOT = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT})
_HEADER = struct.Struct("!HH")
_SWAP = sys.byteorder == "little"


class Outlet:
    """The sending side of one transfer's connected socket. `window` is the most blocks in flight, `blocks` is
    how many the file has."""

    __slots__ = ("_block", "_end", "_frame", "_gso", "_numbers", "_places", "_ready", "_sock", "_source",
                 "_whole", "run")  # fmt: skip

    def __init__(self, sock: socket.socket, source: Source, blksize: int, window: int, blocks: int) -> None:
        self._sock, self._source, self._block = sock, source, blksize
        segment = blksize + 4
        per_call = min(_SEGMENTS, max(1, _BYTES // segment))
        self._gso = per_call if window > 1 and segment > _OTHERS and _offloads(sock, segment) else 1
        # The most blocks that are made ready at once: several windows, where a call sends a whole one.
        several = _SEGMENTS // window * window if self.cuts(window) else window
        self.run = min(blocks, several if window > 1 else per_call)
        self._frame = memoryview(bytearray(segment * self.run))
        self._whole = [self._frame[at : at + segment] for at in range(0, segment * self.run, segment)]
        self._places = [whole[4:] for whole in self._whole]
        for whole in self._whole:
            _HEADER.pack_into(whole, 0, DATA, 0)
        # Where the headers are aligned, all block numbers can be written at once.
        self._numbers = self._frame.cast("H")[1 :: segment // 2] if segment % 2 == 0 else None
        self._ready: tuple[int, int] | None = None  # what is prepared: first block and how many
        self._end = 0  # of what is prepared in the frame

    def cuts(self, window: int) -> bool:
        """Whether a window of so many blocks leaves in one call."""
        return self._gso >= window > 1

    def window(self, first: int, count: int, numbers: Callable[[int, int], list[int]]) -> int:
        """Send DATA blocks from number `first` of the file (counted from 1); `numbers` tells theirs on the
        wire.

        Returns how many went out: fewer than asked means that the socket's buffer is full (try again when it
        is writable). Raises NotYet when the bytes are not in memory, and OSError.
        """
        if self._ready != (first, count):
            self.prepare(first, numbers(first, count))
        self._ready = None
        return self._call_for(count)

    def windows(self, first: int, numbers: list[int], window: int) -> tuple[int, list[memoryview]]:
        """Send the first of some whole windows; how many blocks went out, and the other windows, valid until
        the next call: what has the socket send each in one call, if `cuts` says so still. None of them has
        the file's last block. Raises as `window` does."""
        count = len(numbers)
        if self._ready != (first, count):
            self.prepare(first, numbers)
        self._ready = None
        size = window * (self._block + 4)
        rest = [self._frame[at : at + size] for at in range(size, size * (count // window), size)]
        return self._call_for(window), rest

    def _call_for(self, count: int) -> int:
        done = 0
        while done < count:
            went = self._call(done, min(self._gso, count - done))
            if not went:
                break
            done += went
        return done

    def singly(self, first: int, numbers: list[int]) -> list[memoryview]:
        """The same blocks as datagrams, valid until the next call. Raises as `window` does."""
        self.prepare(first, numbers)
        self._ready = None
        count, last = len(numbers), self._end - (len(numbers) - 1) * (self._block + 4)
        frames = self._whole[:count]
        frames[-1] = frames[-1][:last]
        return frames

    def prepare(self, first: int, numbers: list[int]) -> None:
        """Have what `window` will be called with next ready, while the client is busy with the last window.

        Raises as `window` does.
        """
        count = len(numbers)
        self._ready = None
        held = self._source.into(self._places[:count], (first - 1) * self._block)
        self._head(numbers)
        self._end = held + 4 * count
        self._ready = (first, count)

    def _head(self, numbers: list[int]) -> None:
        if self._numbers is None:
            for whole, number in zip(self._whole, numbers, strict=False):
                _HEADER.pack_into(whole, 0, DATA, number)
            return
        packed = array("H", numbers)
        if _SWAP:
            packed.byteswap()
        self._numbers[: len(numbers)] = memoryview(packed)

    def _call(self, at: int, count: int) -> int:
        """Send `count` blocks in one call; how many went out (after a refusal, the first one alone)."""
        segment = self._block + 4
        try:
            self._sock.send(self._frame[at * segment : min((at + count) * segment, self._end)])
        except BlockingIOError:
            return 0
        except OSError as error:
            if count == 1 or error.errno not in _CANNOT:
                raise
            self._gso = 1
            _offloads(self._sock, 0)
            return self._call(at, 1)
        return count


def _offloads(sock: socket.socket, size: int) -> bool:
    """Have the kernel cut what is sent into datagrams of so many bytes, 0: not any more; whether it does."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    except OSError:
        return False
    return True
