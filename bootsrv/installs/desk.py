"""Where a machine's installer is served: its start, its answers (once), and what it tells.

Each armed boot has a token of its own, which is in every URL that its machine is given. The law: answers go
to the machine they are for, while it is armed, and until its installer has them; every other request for them
is refused and is an alarm on the node's record.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bootsrv import lifecycle
from bootsrv.calls import Refused
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.installs import once
from bootsrv.installs.making import Boot, Made, Making
from bootsrv.installs.tales import Tale
from bootsrv.model import InstallOrder, Node
from bootsrv.registry.registry import Registry
from bootsrv.registry.tokens import Token
from bootsrv.rightful import Claim, Rightful, Standing
from bootsrv.tasks import deploy_id
from pxe.http.ports import NodeRequest, Reply, Wait
from pxe.http.resolver import type_of

PURPOSE = "install"
TOKEN_SECONDS = 2 * 86400.0
HOME_SECONDS = 10 * 365 * 86400.0
LOOK_SECONDS = 0.1
MOST_KEPT = 4000  # machines whose rendered answers are kept between their boot script and their fetching them


class Desk:
    """Not shared between threads."""

    def __init__(self, registry: Registry, making: Making, rightful: Rightful,
                 clock: Callable[[], float] = time.time) -> None:  # fmt: skip
        self._registry, self._making, self._rightful, self._clock = registry, making, rightful, clock
        self._made: OrderedDict[str, Made] = OrderedDict()

    # --- the start
    # ------------------------------------------------------------------------------------------------

    def begin(self, node: Node, mac: str, base: str) -> Made:
        """A new boot of an armed node: what its installer is given. Earlier tokens open nothing any more.
        Raises BootsrvError when the answers cannot be made or are not good."""
        data = {"mac": mac, "url": base, "arming": deploy_id(node), **asdict(once.Handed())}
        token = self._registry.tokens.issue(PURPOSE, str(node.id), self._clock(), TOKEN_SECONDS, data)
        return self._make(token, node, mac, base)

    def _make(self, token: str, node: Node, mac: str, base: str) -> Made:
        order = _order(node)
        boot = Boot(mac, base, token, self._home(node, mac), deploy_id(node))
        made = self._making.make(node, order, boot)
        if not made.good:
            raise Invalid(f"{order.profile}: {made.complaints()}")
        self._made[token] = made
        while len(self._made) > MOST_KEPT:
            self._made.popitem(last=False)
        return made

    def _home(self, node: Node, mac: str) -> str:
        data = {"mac": mac, "arming": deploy_id(node)}
        return self._registry.tokens.issue("home", str(node.id), self._clock(), HOME_SECONDS, data)

    # --- requests
    # -------------------------------------------------------------------------------------------------

    def handle(self, token: str, name: str, request: NodeRequest) -> Reply | Wait:
        """One request below /install/TOKEN/."""
        try:
            found = self._token(token)
            node = self._node(found)
            if (wait := self._whose(found, node, request, name)) is not None:
                return wait
            if name.startswith("tell/"):
                return self._told(token, found, node, name.removeprefix("tell/"), request)
            return self._answers(token, found, node, name, request)
        except Refused as refused:
            return Reply(refused.status, f"{refused.text}\n".encode(), "text/plain")

    def _token(self, token: str) -> Token:
        found = self._registry.tokens.check(token, self._clock())
        if found is None or found.purpose != PURPOSE:
            raise Refused(404, "there are no answers here")
        return found

    def _node(self, found: Token) -> Node:
        node = self._registry.nodes.get(int(found.subject))
        if node is None:
            raise Refused(404, "this node was removed")
        return node

    def _whose(self, found: Token, node: Node, request: NodeRequest, name: str) -> Wait | None:
        """Raises Refused for a stranger."""
        macs = {*node.macs, str(found.data["mac"])}
        claim = Claim(request.peer, macs, node, request.waited)
        match self._rightful.standing(claim):
            case Standing.UNCLEAR:
                return Wait(LOOK_SECONDS + request.waited / 2)
            case Standing.FOREIGN:
                self._rightful.refuse(claim, _what(name))
                raise Refused(403, "answers are for their own machine only")
        return None

    def _answers(self, token: str, found: Token, node: Node, name: str, request: NodeRequest) -> Reply:
        claim = Claim(request.peer, node.macs, node)
        if not self._current(token, found, node):
            self._rightful.refuse(claim, f"{_what(name)} of an earlier boot")
            raise Refused(410, "these answers were for an earlier boot")
        handed = _handed(found)
        match once.verdict(handed, request.peer, self._clock()):
            case once.Verdict.FOREIGN:
                self._rightful.refuse(claim, f"{_what(name)}, which {handed.peer} had before,")
                raise Refused(403, "these answers have gone to another address")
            case once.Verdict.LATE:
                self._rightful.refuse(claim, f"{_what(name)} once more, after its installer had them,")
                raise Refused(410, "these answers were fetched before")
        made = self._made.get(token) or self._again(token, node, found)
        body = made.files.get(name)
        if body is None:
            raise Refused(404, f"no file {name[:100]!r}")
        if request.method == "GET":
            self._handed_out(token, found, node, name, request.peer, len(body))
        return Reply(200, body, type_of(name), {"Cache-Control": "no-store"})

    def _current(self, token: str, found: Token, node: Node) -> bool:
        order = node.armed.install if node.armed is not None else None
        mine = order is not None and found.data.get("arming") == deploy_id(node)
        return mine and self._registry.tokens.is_newest(token)

    def _again(self, token: str, node: Node, found: Token) -> Made:
        """The service was started anew between script and answers."""
        try:
            return self._make(token, node, str(found.data["mac"]), str(found.data["url"]))
        except BootsrvError as error:
            raise Refused(503, str(error)) from error

    def _handed_out(self, token: str, found: Token, node: Node, name: str, peer: str, size: int) -> None:
        first = not found.data.get("peer")
        with self._registry.transaction():
            self._remember(token, found, once.asked(_handed(found), peer))
            text = f"{name} handed out, {size} bytes"
            self._record(node, found, "install.started" if first else "install.answers", text,
                         {"file": name, "bytes": size, "address": peer})  # fmt: skip

    def sent(self, token: str, name: str) -> None:
        """A file has left whole."""
        found = self._registry.tokens.check(token, self._clock())
        if found is not None and found.purpose == PURPOSE and not name.startswith("tell/"):
            self._remember(token, found, once.left_whole(_handed(found), self._clock()))

    # --- what it tells
    # --------------------------------------------------------------------------------------------

    def _told(self, token: str, found: Token, node: Node, kind: str, request: NodeRequest) -> Reply:
        tales = Tale.told(kind, request)
        if found.data.get("arming") != deploy_id(node):
            if kind == "done" and node.armed is None:
                return Reply(200, b"known\n", "text/plain")  # its answer was lost on the way
            raise Refused(410, "this installation is not the one that is asked for any more")
        with self._registry.transaction():
            if not found.data.get("closed"):
                self._remember(token, found, once.called_back(_handed(found)))
            for tale in tales:
                node = self._record(node, found, tale.kind, tale.text, tale.data)
                if tale.log:
                    self._registry.events.log(node.id, str(found.data["mac"]), self._clock(), tale.log)
        return Reply(200, b"thanks\n", "text/plain")

    def _record(self, node: Node, found: Token, kind: str, text: str, data: Mapping[str, Any]) -> Node:
        if not kind:
            return node
        changed = lifecycle.installing(node, kind, data)
        if changed != node:
            node = self._registry.nodes.save(changed)
        self._registry.events.add(self._clock(), kind, text, str(found.data["mac"]), node.id, data)
        return node

    def _remember(self, token: str, found: Token, handed: once.Handed) -> None:
        self._registry.tokens.set_data(token, {**found.data, **asdict(handed)})


def _order(node: Node) -> InstallOrder:
    assert node.armed is not None and node.armed.install is not None
    return node.armed.install


def _handed(found: Token) -> once.Handed:
    data = found.data
    return once.Handed(str(data.get("peer") or ""), float(data.get("whole") or 0.0), bool(data.get("closed")))


def _what(name: str) -> str:
    return "installer's call" if name.startswith("tell/") else "answer file"
