"""An asyncio selector that serves transfers' sockets itself. Linux.

A boot by TFTP is one small datagram in and one out, a hundred thousand times, and one by HTTP a short head in
and a file out; a turn of the event loop for each costs more than the answer. So sockets that are watched here
are served as soon as epoll names them, and the loop gets its turn when anything else has happened, or after
TURN: that is how late a timer may be.
Everything else works as with asyncio's own selector.
"""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

TURN = 0.001  # seconds
_AT_ONCE = 64
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Watch(Protocol):
    """Who calls back for sockets."""

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `fd` can be read; it must not raise."""

    def room(self, fd: int, ready: Callable[[], None]) -> None:
        """Instead of that, call `ready` whenever `fd` takes bytes, or is broken; until the next `watch`."""

    def unwatch(self, fd: int) -> None:
        """Before `fd` is closed."""


class LoopWatch:
    """The plain way, on any event loop."""

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """See Watch."""
        loop = asyncio.get_running_loop()
        loop.remove_writer(fd)
        loop.add_reader(fd, ready)

    def room(self, fd: int, ready: Callable[[], None]) -> None:
        """See Watch."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(fd)
        loop.add_writer(fd, ready)

    def unwatch(self, fd: int) -> None:
        """See Watch."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(fd)
        loop.remove_writer(fd)


class HotSelector(selectors.BaseSelector):
    """For `asyncio.SelectorEventLoop`; it is a Watch as well. One thread's."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._hot: dict[int, Callable[[], None]] = {}
        self._rooms: dict[int, Callable[[], None]] = {}
        self._polled: set[int] = set()  # what epoll was told of, as far as we know

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """See Watch."""
        self._rooms.pop(fd, None)
        self._hot[fd] = ready
        self._tell(fd)

    def room(self, fd: int, ready: Callable[[], None]) -> None:
        """See Watch."""
        self._hot.pop(fd, None)
        self._rooms[fd] = ready
        self._tell(fd)

    def unwatch(self, fd: int) -> None:
        """See Watch."""
        hot, room = self._hot.pop(fd, None), self._rooms.pop(fd, None)
        if hot is not None or room is not None:
            self._tell(fd)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See selectors."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered")
        return self.modify(fileobj, events, data)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See selectors."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        self._tell(fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """See selectors."""
        key = self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())
        self._tell(key.fd)
        return key

    def _tell(self, fd: int) -> None:
        """Have epoll know what we want of `fd` now."""
        key = self._keys.get(fd)
        asked = key.events if key is not None else 0
        wanted = _IN if fd in self._hot or asked & selectors.EVENT_READ else 0
        wanted |= _OUT if fd in self._rooms or asked & selectors.EVENT_WRITE else 0
        try:
            if not wanted:
                self._polled.discard(fd)
                self._epoll.unregister(fd)
            elif fd in self._polled:
                self._epoll.modify(fd, wanted)
            else:
                self._polled.add(fd)
                self._epoll.register(fd, wanted)
        except FileNotFoundError:  # it was closed meanwhile, which took it out of epoll, and opened anew
            if wanted:
                self._epoll.register(fd, wanted)
        except FileExistsError:
            self._epoll.modify(fd, wanted)
        except OSError:
            if wanted:
                raise  # a closed descriptor left epoll by itself

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors; serves what is watched meanwhile."""
        poll, hot, rooms = self._epoll.poll, self._hot, self._rooms
        events = poll(_wait(timeout), max(_AT_ONCE, len(self._keys)))
        until = time.monotonic() + TURN
        found: list[tuple[selectors.SelectorKey, int]] = []
        while events:
            for fd, event in events:
                ready = hot.get(fd)
                if ready is not None and event == _IN:
                    ready()
                    continue
                if ready is not None and event & ~_OUT:
                    ready()
                    event &= _OUT  # errors are the watcher's, too
                elif ready is None and (ready := rooms.get(fd)) is not None:
                    ready()
                    continue
                if event and (key := self._keys.get(fd)) is not None:
                    found.append((key, _mask(event) & key.events))
            if found or timeout == 0 or not (hot or rooms) or time.monotonic() >= until:
                break
            events = poll(TURN, _AT_ONCE)
        return found

    def close(self) -> None:
        """See selectors."""
        self._epoll.close()
        self._keys.clear()
        self._hot.clear()
        self._rooms.clear()
        self._polled.clear()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """See selectors."""
        return self._keys


def _wait(timeout: float | None) -> float:
    """Whole milliseconds, rounded up: rounded down, the loop would spin until a timer is due."""
    return -1.0 if timeout is None else math.ceil(max(0.0, timeout) * 1e3) * 1e-3


def _mask(event: int) -> int:
    """An error wakes readers and writers alike."""
    read = selectors.EVENT_READ if event & ~_OUT else 0
    return read | (selectors.EVENT_WRITE if event & ~_IN else 0)
