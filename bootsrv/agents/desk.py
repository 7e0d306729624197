"""What agents on running machines ask of the node API: orders, and the agent that carries them out; and what
they tell of them.

    GET  /node/v1/order?port=N      {"number", "signed", "signature"}, or {"pause": SECONDS}
    POST /node/v1/order             {"number", "lines": [...], "ended": {"code", "error"}}
    GET  /node/v1/agent             the one-file agent

All of it for the holder of a node's own token. Orders are signed by whoever makes them (`way`): this
process cannot. Whoever asks is written down at most every few seconds, together with all others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from bootsrv.agents import pace
from bootsrv.calls import Refused, json_reply, object_of
from bootsrv.registry.orders import DONE, FAILED, TAKEN, WAITING, AgentCall, OrderRow
from bootsrv.registry.registry import Registry
from bootsrv.registry.tokens import Token
from images.agent import bundle
from pxe.http.ports import NodeRequest, Reply

WRITE_SECONDS = 10.0
MAX_BODY, MAX_LINES, MAX_ERROR = 4 * 1024 * 1024, 2000, 4000


class AgentDesk:
    """Called from one thread."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock
        self._calls: dict[int, AgentCall] = {}  # not written down yet
        self._known: dict[int, AgentCall] = {}  # as they are written down
        self._written, self._count = 0.0, 0

    def order(self, request: NodeRequest, token: Token) -> Reply:
        """The order of this node; else how long to wait. One that was taken is given again, since the answer
        may have been lost on its way: a machine that has begun it says so, and nothing is done twice."""
        node, held = self._node(token), _held(request)
        self._called(node, AgentCall(held, self._clock(), request.peer, _port(request.query.get("port", ""))))
        found = current(self._registry, node, held, self._clock())
        if found is None or found.state not in (WAITING, TAKEN):
            return json_reply({"pause": pace.pause(self._count)})
        self._registry.orders.step(found.number, TAKEN, self._clock())
        return json_reply({"number": found.number, **found.sealed})

    def told(self, request: NodeRequest, token: Token) -> Reply:
        """Lines of an order's work, or its end."""
        said = object_of(request.body, MAX_BODY)
        node, number = self._node(token), said.get("number")
        found = current(self._registry, node, _held(request), self._clock())
        if found is None or found.number != number:
            raise Refused(410, "nobody waits for that order any more")
        lines = said.get("lines")
        kept = [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
        ended = said.get("ended")
        with self._registry.transaction():
            self._registry.orders.say(found.number, kept[-MAX_LINES:])
            if found.state in (DONE, FAILED):
                return json_reply({})
            state, error = _end(ended) if isinstance(ended, dict) else (TAKEN, "")
            self._registry.orders.step(found.number, state, self._clock(), error)
        return json_reply({})

    def agent(self, request: NodeRequest, token: Token) -> Reply:
        """The agent as it is now. It is told where the server is with each order."""
        return Reply(200, bundle.build(""), "text/x-python")

    def _node(self, token: Token) -> int:
        """Raises Refused when it was removed."""
        node = int(token.subject)
        if self._registry.nodes.get(node) is None:
            raise Refused(403, "this node was removed")
        return node

    def _called(self, node: int, call: AgentCall) -> None:
        known = self._known.get(node)
        fresh = known is None or (known.secret, known.address, known.port) != (
            call.secret, call.address, call.port,
        )  # fmt: skip
        self._known[node] = self._calls[node] = call
        if fresh or call.called - self._written >= WRITE_SECONDS:
            self._registry.orders.called(self._calls)
            self._calls.clear()
            self._written, self._count = call.called, self._registry.orders.agents()


def current(registry: Registry, node: int, held: bytes, now: float) -> OrderRow | None:
    """The order of the holder of that token; one that nobody waits for goes, so that none is begun hours
    after it was asked for."""
    found = registry.orders.of(node, held)
    if found is None:
        return None
    if found.state == WAITING:
        left = pace.forgotten(found.made, now, registry.orders.agents())
    else:
        left = pace.silent(found.heard, now - pace.STALE_SECONDS)
    if left:
        registry.orders.remove(found.number)
    return None if left else found


def opened(registry: Registry, token: Token, text: str, now: float) -> Mapping[str, Any] | None:
    """What the holder of a node's token may have from the store for the order that it carries out; None when
    it has none."""
    found = current(registry, int(token.subject), hashlib.sha256(text.encode()).digest(), now)
    return found.opens if found is not None and found.state == TAKEN else None


def _held(request: NodeRequest) -> bytes:
    return hashlib.sha256((request.token or "").encode("utf-8", "surrogateescape")).digest()


def _port(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) < 65536 else 0


def _end(ended: Mapping[str, Any]) -> tuple[str, str]:
    error = str(ended.get("error") or "")[:MAX_ERROR]
    return (FAILED, error or "it gave no reason") if ended.get("code") else (DONE, "")
