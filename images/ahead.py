"""Makes what comes next while what came before is being written: hashing and unpacking in one thread, the
disk in the other. Python 3.8, standard library only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar, Union

Data = Union[bytes, memoryview]  # noqa: UP007 - Python 3.8 evaluates it
Item = TypeVar("Item")
BATCH, BATCHES = 1 << 20, 4  # bytes handed over at once, and how many such at most


def ahead(
    items: Iterator[Item], weight: Callable[[Any], int] = len
) -> Generator[Item, None, None]:
    """The same, made in a thread that has ended when this one has, and has closed a generator then. `weight`:
    an item's bytes. Raises what it raises.
    """
    made: queue.Queue[list[Item] | BaseException | None] = queue.Queue(BATCHES)
    stop = threading.Event()

    def put(item: list[Item] | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                made.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        rows: list[Item] = []
        size = 0
        try:
            try:
                for each in items:
                    rows.append(each)
                    size += weight(each)
                    if size >= BATCH:
                        if not put(rows):
                            return
                        rows, size = [], 0
            finally:  # here: an error's traceback would hold it, with all it has open, as long as it is held
                if isinstance(items, Generator):
                    items.close()
            put(rows)
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield from item
    finally:
        stop.set()
        thread.join()
