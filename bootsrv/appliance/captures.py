"""The verbs on captures: a token that lets one machine upload itself once, and the line to type there."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootsrv import lifecycle
from bootsrv.appliance.errors import translated
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid, NotFound
from bootsrv.listening import reach
from bootsrv.model import CaptureOrder, Node, NodeState
from bootsrv.registry.registry import Registry
from images.versions import check_name

if TYPE_CHECKING:
    from bootsrv.appliance.push import Pushes
    from bootsrv.remote import Hear

PURPOSE = "capture"
HOUR = 3600.0
LONGEST = 30 * 24.0  # hours


@dataclass(frozen=True, slots=True)
class CaptureToken:
    """`text` exists only here. `expires` is epoch seconds."""

    text: str
    name: str
    expires: float

    def line(self, base: str, words: Sequence[str] = (), pin: str = "") -> str:
        """What to type on the machine. `base` is our URL as the machine sees it; with https://, `pin` names
        the key that it has to show there."""
        extra = "".join(f" {shlex.quote(word)}" for word in words)
        # -k: who vouches for that key is of no interest, since no other is taken.
        only = f" -k --pinnedpubkey {pin}" if pin else ""
        # "=", because a token may begin with a dash.
        fetch = f"curl -fsS{only} {base}/agent | sudo python3 -"
        return f"{fetch} capture --name {self.name} --token={self.text}{extra}"


class Captures:
    """Verbs on captures."""

    def __init__(
        self, registry: Registry, images: Images, clock: Callable[[], float], pushes: Pushes | None = None,
        config: Config | None = None,
    ) -> None:  # fmt: skip
        self._registry, self._images, self._clock, self._pushes = registry, images, clock, pushes
        self._config = config

    def token(
        self, name: str, comment: str = "", hours: float = 24.0, node: Node | None = None,
        kind: str = "tree", arming: str = "",
    ) -> CaptureToken:  # fmt: skip
        """A token for one capture as the next version of `name`. `arming` (`tasks.deploy_id`): of the node,
        which ends with it. Raises Invalid.
        """
        with translated():
            check_name(name)
        self._same_kind(name, kind)
        if not 0 < hours <= LONGEST:
            raise Invalid(f"a token is valid for up to {LONGEST:.0f} hours, not {hours:g}")
        now = self._clock()
        data: dict[str, Any] = {"name": name, "comment": comment, "kind": kind}
        if node is not None:
            data.update(node=node.id, arming=arming)
        text = self._registry.tokens.issue(PURPOSE, secrets.token_hex(8), now, hours * HOUR, data)
        return CaptureToken(text, name, now + hours * HOUR)

    def live(self, node: Node, name: str, comment: str, words: Sequence[str], hear: Hear) -> str:
        """Capture a running node over SSH; the version that was made. `words` are options of the agent.

        `hear` gets each report ({"say": text}, or {"done", "total", "files", "rate"}). Raises BootsrvError.
        """
        assert self._pushes is not None and self._config is not None, "only the appliance can log in to nodes"
        try:
            remote = self._pushes.remote(node)
        except Invalid as error:
            ways = "the imager can capture it (offline), and with a token any machine can be captured"
            raise Invalid(f"{error}; {ways}") from error
        token = self.token(name, comment, node=node)
        url, certificate = reach(self._config, remote.own_address())
        task = {"token": token.text, "certificate": certificate}
        report = remote.agent(["capture", "--by-server", *words], task, url, hear)
        return str(report.get("ref") or "")

    def offline(
        self, nodes: Sequence[Node], name: str, kind: str = "tree", comment: str = "",
        words: Sequence[str] = (),
    ) -> Sequence[Node]:  # fmt: skip
        """Let nodes be captured by the imager at their next boot, then boot their own disks again.

        `kind`: their files (`tree`), or their whole `disk`. `words` are options of the agent, for trees.
        Raises Invalid, Conflict; then none was armed.
        """
        with translated():
            check_name(name)
        if words and kind != "tree":
            raise Invalid("of a whole disk nothing can be left out or added")
        if len(nodes) > 1:
            raise Invalid("one machine makes one image: name one node")
        with self._registry.transaction():
            return [self._arm(node, name, CaptureOrder(kind, comment, tuple(words))) for node in nodes]

    def _arm(self, node: Node, name: str, order: CaptureOrder) -> Node:
        fresh = self._registry.nodes.get(node.id)
        if fresh is None or fresh.name is None:
            raise Conflict("only a registered node can be captured by the imager: adopt it first")
        if fresh.half_written or fresh.state is NodeState.IMAGING:
            raise Conflict(f"{fresh.name} is half written: there is nothing to capture")
        self._same_kind(name, order.kind)
        armed = self._registry.nodes.save(lifecycle.arm_capture(fresh, name, order, self._clock()))
        text = f"its {order.kind} is to be captured as {name}"
        self._registry.events.add(self._clock(), "node.armed", text, None, fresh.id)
        return armed

    def _same_kind(self, name: str, kind: str) -> None:
        try:
            latest = self._images.resolve(name)
        except NotFound:
            return
        if latest.kind != kind:
            raise Conflict(f"image {name} is a {latest.kind}, not a {kind}: choose another name")

    def result(self, token: CaptureToken) -> Mapping[str, Any] | None:
        """What the token's capture made (`ref`, `files`, `bytes`, `added`), None while it has not."""
        found = self._registry.tokens.check(token.text, self._clock())
        published = found.data.get("published") if found is not None else None
        return published if isinstance(published, dict) else None
