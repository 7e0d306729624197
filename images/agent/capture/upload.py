"""The calls of one capture: the stream of names and data; chunks that are asked for before they are sent.

Sending runs in threads beside the reading; the law: at most a few bodies wait, whatever the machine's size,
and the first failure ends the capture. A broken connection repeats its last call, which the server takes as
the same; two bodies of the stream are on their way at once, and their numbers tell the server their order.
Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Sequence, Union

from images.agent.capture.pace import Pace
from images.agent.capture.packing import packed
from images.agent.capture.stream import Read, Stream
from images.agent.client import Client, Refused
from images.capture import wire
from images.errors import BadInput
from images.manifest import Chunk, Entry

SENDERS = 2  # calls on their way
AHEAD = 3  # calls on their way or waiting for it
GONE = 410
Body = Union[bytes, memoryview]
NEVER = 1 << 62  # of an empty store nothing needs to be asked


class Interrupted(Exception):
    """The server lost this capture (it was restarted): to be begun again."""


class Upload:
    """One capture's way to the server. All but `close` belongs to the reading thread."""

    def __init__(self, client: Client) -> None:
        self._client, self._own = client, threading.local()
        self._senders: List[Client] = []
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="upload")
        self._jobs: Deque["Future[object]"] = deque()
        self._waiting: Dict[bytes, bytes] = {}
        self._size = 0
        self._stream = Stream(self._send_body, AHEAD + 1)
        self._pace = Pace()
        self._count = threading.Lock()
        self._query = ""
        self.strangers = 0  # stretches in a row of which the server knew nothing
        self.sent = 0  # bytes of file data that the server lacked
        self.on_wire = 0  # bytes of bodies

    def begin(self, what: Mapping[str, Any]) -> Dict[str, Any]:
        """Opens the capture; what the server knows of name and predecessor."""
        self._query = ""
        answer = json.loads(self._call("POST", "begin", json.dumps({**what, "wire": wire.VERSION}).encode()))
        if answer.get("wire") != wire.VERSION:
            raise BadInput("this agent is newer than the server: fetch it from that server (SERVER/agent)")
        self._query = "session=" + str(answer["session"])
        self.strangers = NEVER if answer.get("blank") else 0
        return dict(answer)

    def base(self) -> bytes:
        """The sealed manifest of the version that this machine was made from."""
        return self._call("GET", "base")

    @property
    def blank(self) -> bool:
        """Whether the server has nothing at all: then nothing needs to be asked."""
        return self.strangers >= NEVER

    def put(self, data: bytes, id: Optional[bytes] = None) -> None:
        """A chunk of the file at hand, sent with others when enough have come together, unless the server has
        it.
        """
        chunk = Chunk(id or hashlib.sha256(data).digest(), len(data))
        self._stream.known([chunk])
        if chunk.id not in self._waiting:
            self._waiting[chunk.id] = data
            self._size += len(data)
            if self._size >= wire.BATCH or len(self._waiting) >= wire.IDS:
                self._submit()

    def has(self, ids: List[bytes]) -> List[bool]:
        """For each id whether the server has the chunk by now."""
        body = b"".join(ids)
        return wire.unpack_known(self._call("POST", "have", body), len(ids))

    def known(self, chunks: Sequence[Chunk]) -> None:
        """Chunks of the file at hand that the server has."""
        self._stream.known(chunks)

    def data(self, read: Read, start: int, end: int) -> None:
        """Bytes of the file at hand for the server to cut. Raises what `read` raises."""
        self._stream.data(read, start, end)
        self.sent += end - start

    def drop(self) -> None:
        """What was given of the file at hand does not count: it is read again, or left out."""
        self._stream.drop()

    def entry(self, entry: Entry, look: bytes = b"") -> None:
        """One name of the tree; of a file, the one that was at hand. `look`: its first bytes where they tell
        something.
        """
        self._stream.entry(entry, look)

    def progress(self, facts: Mapping[str, Any]) -> None:
        """Tells the server's page; nothing waits for it."""
        body = json.dumps(facts).encode()
        self._add(lambda: self._send("progress", body))

    def publish(self, facts: Mapping[str, Any]) -> Dict[str, Any]:
        """Everything is there: make it a version. `ref`, `files`, `bytes` and `added` of it."""
        self.finish()
        body = json.dumps(facts).encode()
        return dict(json.loads(self._call("POST", "publish", body, timeout=1800.0)))

    def fail(self, error: str) -> None:
        """Tells the server why there will be no version."""
        self._call("POST", "fail", json.dumps({"error": error}).encode())

    def finish(self) -> None:
        """Waits until everything put so far is with the server."""
        if self._waiting:
            self._submit()
        self._stream.flush()
        while self._jobs:
            self._jobs.popleft().result()

    def close(self) -> None:
        """Ends the threads; what was not sent is not sent any more."""
        for job in self._jobs:
            job.cancel()
        self._client.stopping.set()
        self._threads.shutdown(wait=True)
        for sender in self._senders:
            sender.close()

    def _submit(self) -> None:
        batch, self._waiting, self._size = self._waiting, {}, 0
        self._add(lambda: self._send_lacking(batch))

    def _add(self, job: Callable[[], object]) -> None:
        self._jobs.append(self._threads.submit(job))
        while len(self._jobs) > AHEAD or (self._jobs and self._jobs[0].done()):
            self._jobs.popleft().result()

    def _send_lacking(self, batch: Dict[bytes, bytes]) -> None:
        ids = list(batch)
        answer = self._send("have", b"".join(ids))
        known = wire.unpack_known(answer, len(ids))
        lacking = [batch[id] for number, id in enumerate(ids) if not known[number]]
        if lacking:
            data = wire.pack_chunks(lacking)
            body = packed(data) if self._pace.packs else wire.seal(wire.RAW, data, len(data))
            self._send("chunks", body)
            with self._count:
                self.sent += sum(map(len, lacking))

    def _send_body(self, number: int, body: memoryview, names: bool, done: Callable[[], None]) -> None:
        def job() -> None:
            try:
                pack = names or self._pace.packs  # names become a tenth
                small = packed(body[wire.HEAD.size :]) if pack else body
                self._send("stream", small, f"number={number}")
            finally:
                done()

        self._add(job)

    def _send(self, what: str, body: Body, more: str = "") -> bytes:
        client: Optional[Client] = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = self._client.copy()
            self._senders.append(client)
        answer = self._call("POST", what, body, more, client=client)
        self._pace.went(len(body), client.took)
        return answer

    def _call(
        self, method: str, what: str, body: Optional[Body] = None, more: str = "", timeout: float = 120.0,
        client: Optional[Client] = None,
    ) -> bytes:  # fmt: skip
        query = "&".join(part for part in (self._query, more) if part)
        path = f"/capture/v1/{what}" + (f"?{query}" if query else "")
        with self._count:
            self.on_wire += len(body or b"")
        try:
            return (client or self._client).call(method, path, body, timeout=timeout)[1]
        except Refused as refused:
            if refused.status == GONE:
                raise Interrupted(str(refused)) from refused
            raise
