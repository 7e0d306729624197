"""The calls of one capture: asks which chunks the server lacks, sends those, and the entries.

Sending runs in a thread beside the reading; the law: at most a few megabytes wait, whatever the machine's
size, and the first failure ends the capture. A broken connection repeats its last call, which the server
takes as the same. Python 3.8, standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Deque, Dict, List, Mapping, Optional, Tuple

from images.agent.capture.packing import packed
from images.agent.client import Client, Refused
from images.capture import wire
from images.manifest import Chunk, Entry, to_text, write_entry

AHEAD = 3  # batches on their way
GONE = 410
NEVER = 1 << 62  # of an empty store nothing needs to be asked
LINES = 512 << 10  # bytes of entries in one call


class Interrupted(Exception):
    """The server lost this capture (it was restarted): to be begun again."""


class Upload:
    """One capture's way to the server. `put` and `entry` belong to the reading thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sender = client.copy()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._jobs: Deque["Future[None]"] = deque()
        self._waiting: Dict[bytes, bytes] = {}
        self._size = 0
        self._lines: List[bytes] = []
        self._looks: Dict[str, str] = {}
        self._line_bytes = self._told = 0
        self._query = ""
        self.strangers = 0  # stretches in a row of which the server knew nothing
        self.sent = 0  # bytes of file data that the server lacked
        self.on_wire = 0  # bytes of bodies

    def begin(self, what: Mapping[str, Any]) -> Dict[str, Any]:
        """Opens the capture; what the server knows of name and predecessor."""
        self._query = ""
        answer = json.loads(self._call("POST", "begin", json.dumps(what).encode()))
        self._query = "session=" + str(answer["session"])
        self.strangers = NEVER if answer.get("blank") else 0
        return dict(answer)

    def base(self) -> bytes:
        """The sealed manifest of the version that this machine was made from."""
        return self._call("GET", "base")

    def put(self, data: bytes, id: Optional[bytes] = None) -> Chunk:
        """One chunk, sent with others when enough have come together, unless the server has it."""
        chunk = Chunk(id or hashlib.sha256(data).digest(), len(data))
        if chunk.id not in self._waiting:
            self._waiting[chunk.id] = data
            self._size += len(data)
            if self._size >= wire.BATCH or len(self._waiting) >= wire.IDS:
                self._submit()
        return chunk

    def known(self, ids: List[bytes]) -> List[bool]:
        """For each id whether the server has the chunk by now."""
        body = b"".join(ids)
        return wire.unpack_known(self._call("POST", "have", body), len(ids))

    def cut(self, data: bytes, last: bool) -> Tuple[Chunk, ...]:
        """Sends a stretch of file bytes for the server to cut; the chunks that it made of its start, or of
        all when it is the last.
        """
        answer = self._call("POST", "cut", packed(data), f"last={int(last)}")
        made = tuple(Chunk(bytes.fromhex(digest), int(length)) for digest, length in json.loads(answer))
        self.sent += sum(chunk.length for chunk in made)
        return made

    def entry(self, entry: Entry, look: bytes = b"") -> None:
        """One name of the tree. `look`: the file's first bytes where they tell something."""
        line = write_entry(entry).rstrip(b"\n")
        self._lines.append(line)
        self._line_bytes += len(line)
        if look:
            self._looks[to_text(entry.path)] = base64.b64encode(look).decode("ascii")
        if self._line_bytes >= LINES:
            self._flush_lines()

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
        self._flush_lines()
        while self._jobs:
            self._jobs.popleft().result()

    def close(self) -> None:
        """Ends the thread; what was not sent is not sent any more."""
        for job in self._jobs:
            job.cancel()
        self._thread.shutdown(wait=True)
        self._sender.close()

    def _submit(self) -> None:
        batch, self._waiting, self._size = self._waiting, {}, 0
        self._add(lambda: self._send_lacking(batch))

    def _add(self, job: Any) -> None:
        self._jobs.append(self._thread.submit(job))
        while len(self._jobs) > AHEAD or (self._jobs and self._jobs[0].done()):
            self._jobs.popleft().result()

    def _send_lacking(self, batch: Dict[bytes, bytes]) -> None:
        ids = list(batch)
        answer = self._send("have", b"".join(ids))
        known = wire.unpack_known(answer, len(ids))
        lacking = [batch[id] for number, id in enumerate(ids) if not known[number]]
        if lacking:
            body = packed(wire.pack_chunks(lacking))
            self._send("chunks", body)
            self.sent += sum(map(len, lacking))

    def _flush_lines(self) -> None:
        if not self._lines:
            return
        head = json.dumps({"number": self._told, "looks": self._looks}).encode()
        body = b"\n".join([head, *self._lines])
        self._told += len(self._lines)
        self._lines, self._looks, self._line_bytes = [], {}, 0
        self._add(lambda: self._send("entries", packed(body)))

    def _send(self, what: str, body: bytes) -> bytes:
        return self._call("POST", what, body, client=self._sender)

    def _call(
        self, method: str, what: str, body: Optional[bytes] = None, more: str = "", timeout: float = 120.0,
        client: Optional[Client] = None,
    ) -> bytes:  # fmt: skip
        query = "&".join(part for part in (self._query, more) if part)
        path = f"/capture/v1/{what}" + (f"?{query}" if query else "")
        self.on_wire += len(body or b"")
        try:
            return (client or self._client).call(method, path, body, timeout=timeout)[1]
        except Refused as refused:
            if refused.status == GONE:
                raise Interrupted(str(refused)) from refused
            raise
