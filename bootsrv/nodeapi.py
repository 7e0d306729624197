"""The node API: what imagers and freshly imaged systems say to us and ask of us (`/node/v1/*`).

Everything that arrives is a stranger's: sizes are bounded, fields are checked, a token opens only its own
machine. Times are ours, since a machine without a battery believes it is 1970. Each call is one transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bootsrv import bootplan, diskkeys, lifecycle, roomnews, tasks
from bootsrv.agents.desk import AgentDesk
from bootsrv.appliance.captures import Captures
from bootsrv.appliance.images import Images
from bootsrv.calls import Refused, decode, json_reply, object_of
from bootsrv.config import Config
from bootsrv.discovery import note_sighting
from bootsrv.diskless.task import RootTasks
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.model import Node
from bootsrv.names import printable
from bootsrv.nfsroot.places import NfsPlaces
from bootsrv.recognition import by_inventory
from bootsrv.registry.registry import Registry
from bootsrv.registry.tokens import Token
from images.layout_parse import layout_to_json
from images.versions import Version
from pxe.http.ports import NodeRequest, Reply, Wait

# of tokens; everything else takes a boot token
PURPOSES = {
    "home": "home", "room": "home", "order": "home", "agent": "home", "diskkey": diskkeys.PURPOSE,
}  # fmt: skip
BOOT_SECONDS = 7 * 86400.0  # how long an imager may wait without asking
HOME_SECONDS = 10 * 365 * 86400.0
LONGEST_WAIT = 50.0
POLL_SECONDS = 0.5
MOST_QUIET = 5000  # long polls whose last look is remembered; forgetting one costs it another look
SEEN_SECONDS = 10.0  # how exactly we remember when a machine was last heard of
MAX_EVENTS, MAX_TEXT, MAX_DATA = 500, 2000, 64 * 1024
MAX_FACTS, MAX_LOG = 256 * 1024, 256 * 1024
_KIND = re.compile(r"(imager|deploy|root)\.[a-z-]{1,32}\Z")
_REF = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}@[0-9]{1,9}\Z")
_HOST_KEY = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/=]{20,2000}\Z")


class NodeApi:
    """Answers `NodeRequest`s."""

    def __init__(
        self, config: Config, registry: Registry, images: Images, clock: Callable[[], float] = time.time
    ) -> None:
        self._config, self._registry, self._images, self._clock = config, registry, images, clock
        self._roots = RootTasks(config, registry, images, NfsPlaces(config), clock)
        agents = AgentDesk(registry, clock)
        self._quiet: dict[str, tuple[int, int]] = {}  # long polls: the registry's changes as each saw it
        self._routes: Mapping[tuple[str, str], Callable[[NodeRequest, Token], Reply | Wait]] = {
            ("GET", "task"): self._task,
            ("GET", "root"): self._root,
            ("POST", "facts"): self._facts,
            ("POST", "events"): self._events,
            ("POST", "log"): self._log,
            ("POST", "home"): self._home,
            ("POST", "room"): self._room,
            ("GET", "diskkey"): self._disk_key,
            ("GET", "order"): agents.order,
            ("POST", "order"): agents.told,
            ("GET", "agent"): agents.agent,
        }

    def handle(self, request: NodeRequest) -> Reply | Wait:
        """The answer, or how long to wait before asking again."""
        call = self._routes.get((request.method, request.path))
        try:
            if call is None:
                raise Refused(404, "no such call")
            return call(request, self._token(request, PURPOSES.get(request.path, "boot")))
        except Refused as refused:
            return json_reply({"error": refused.text}, refused.status)

    def _token(self, request: NodeRequest, purpose: str) -> Token:
        found = self._registry.tokens.check(request.token, self._clock()) if request.token else None
        if found is None:
            raise Refused(401, "unknown or expired token: boot over the network again to get a new one")
        if found.purpose != purpose:
            raise Refused(403, "this token is for something else")
        return found

    def _node(self, token: Token) -> Node:
        """The node of a boot token; a machine whose record was removed is unknown again."""
        return self._registry.machine(token.subject) or note_sighting(
            self._registry, token.subject, self._clock()
        )

    # --- what to do
    # ---------------------------------------------------------------------------------------------

    def _task(self, request: NodeRequest, token: Token) -> Reply | Wait:
        now, key = self._clock(), request.token or ""
        changes = self._registry.changes()
        if request.waited and self._quiet.get(key) == changes and request.waited < _wait_of(request):
            return Wait(POLL_SECONDS)  # nobody has written anything since this poll looked last
        node = self._node(token)
        if now - (node.last_seen or 0.0) > SEEN_SECONDS:
            self._registry.nodes.touch(node.id, now)
        if token.expires - now < BOOT_SECONDS / 2:
            self._registry.tokens.extend(key, now + BOOT_SECONDS)
        plan = bootplan.decide(node, discover=True)
        task = tasks.waiting(node, plan) or self._work(node, token, plan)
        if task["kind"] not in ("wait", "hold"):
            return json_reply(task)
        # Told once, then silence until something changes: a long poll that always answers would be a busy
        # loop.
        told = f"{task['kind']} {task['text']}"
        if token.data.get("told") != told:
            self._registry.tokens.set_data(key, {**token.data, "told": told})
            return json_reply(task)
        if request.waited < _wait_of(request):
            if len(self._quiet) >= MOST_QUIET:  # polls that were broken off leave theirs behind
                self._quiet.clear()
            self._quiet[key] = changes
            return Wait(POLL_SECONDS)
        self._quiet.pop(key, None)
        return Reply(204, b"")

    def _root(self, request: NodeRequest, token: Token) -> Reply | Wait:
        return self._roots.answer(self._node(token), token, request.token or "")

    def _work(self, node: Node, token: Token, plan: bootplan.BootPlan) -> dict[str, Any]:
        order = node.armed.capture if node.armed is not None else None
        if node.armed is None or order is None:
            return self._deploy(node, token, plan.image or "")
        made = Captures(self._registry, self._images, self._clock).token(
            node.armed.image, order.comment, node=node, kind=order.kind, arming=tasks.deploy_id(node)
        )
        task = tasks.capture(node, made.text)
        if order.kind == "tree" and self._encrypted(node):
            task["disk_key"] = {"passphrase": diskkeys.passphrase(self._registry, node)}
        return task

    def _encrypted(self, node: Node) -> bool:
        """Whether the layout that it was imaged with, as far as we know, encrypts anything."""
        try:
            layout = tasks.layout_of(node, (node.running or "").partition("@")[0], self._config)
        except Invalid:  # the capture says what it finds encrypted
            return False
        return diskkeys.sealed(layout_to_json(layout))

    def _deploy(self, node: Node, token: Token, ref: str) -> dict[str, Any]:
        try:
            version = self._images.resolve(ref)
        except BootsrvError as error:
            self._change(lifecycle.reported(node, "deploy.failed", {"step": "image", "error": str(error)}))
            self._record(node, token.subject, "deploy.failed", f"image {ref}: {error}", {"step": "image"})
            return {"kind": "hold", "text": f"image {ref}: {error}"}
        mac = token.subject
        home = self._registry.tokens.issue("home", str(node.id), self._clock(), HOME_SECONDS, {"mac": mac})
        base = str(token.data.get("url") or "")
        seeds = self._seeds(node)
        try:
            task = tasks.deploy(node, mac, version, self._config, self._registry, base, home, seeds)
        except Invalid as error:
            return {"kind": "hold", "text": str(error)}
        if diskkeys.sealed(task["layout"]):
            task["disk_key"] = diskkeys.grant(self._registry, node, mac, base, self._clock())
        return task

    def _seeds(self, node: Node) -> list[Version]:
        """What the node's disk holds as far as we know; an image that is gone is of no use as seed."""
        try:
            return [self._images.resolve(node.running)] if node.running else []
        except BootsrvError:
            return []

    # --- what happened
    # ------------------------------------------------------------------------------------------

    def _facts(self, request: NodeRequest, token: Token) -> Reply:
        facts = object_of(request.body, MAX_FACTS)
        with self._registry.transaction():
            node = by_inventory(self._registry, self._node(token), facts, self._clock())
            firmware = facts.get("firmware") if facts.get("firmware") in ("bios", "uefi") else node.firmware
            self._change(replace(node, facts=facts, firmware=firmware, last_seen=self._clock()))
            self._record(node, token.subject, "imager.facts", "hardware reported", {})
        return json_reply({})

    def _events(self, request: NodeRequest, token: Token) -> Reply:
        events = [_event(item) for item in _list(request.body)]
        late = False
        with self._registry.transaction():
            for kind, text, data in events:
                node = self._node(token)
                wanted = tasks.deploy_id(node)
                if data.get("id") in (None, "", wanted):
                    self._change(lifecycle.reported(node, kind, data), node)
                if kind == "deploy.done":
                    self._registry.upkeep.set_host_keys(node.id, _host_keys(data))
                late |= kind == "deploy.started" and (data.get("id") or wanted) != wanted
                self._record(node, token.subject, kind, text, data)
        if late:  # the imager goes on to wipe the disk only when this call succeeds
            raise Refused(409, "this imaging was taken back or replaced: ask for the task again")
        return json_reply({})

    def _log(self, request: NodeRequest, token: Token) -> Reply:
        if len(request.body) > MAX_LOG:
            raise Refused(413, f"more than {MAX_LOG} bytes of log at once")
        text = printable(request.body.decode("utf-8", "replace"))
        if text:
            self._registry.events.log(self._node(token).id, token.subject, self._clock(), text)
        return json_reply({})

    def _home(self, request: NodeRequest, token: Token) -> Reply:
        said = _form(request)
        image = str(said.get("image") or "")
        data: dict[str, Any] = {
            key: str(said.get(key) or "")[:200]
            for key in ("hostname", "boot_id", "uptime", "kernel", "address")
        }
        data["image"] = image if _REF.match(image) else ""
        with self._registry.transaction():
            node = self._registry.nodes.get(int(token.subject))
            if node is None:
                raise Refused(403, "this node was removed")
            if token.data.get("arming") == tasks.deploy_id(node):
                node = self._done(node, str(token.data.get("mac") or ""))
            self._change(replace(lifecycle.reported(node, "home", data), last_seen=self._clock()), node)
            text = f"called home: runs {data['image'] or 'its own disk'}"
            data["confirmed"] = said.get("confirmed") == "1"
            if said.get("returned"):
                data["returned"] = printable(str(said["returned"])[:200])
                text = f"returned to {data['image']}: {data['returned']}"
            self._record(node, str(token.data.get("mac") or ""), "home", text, data)
        return json_reply({})

    def _done(self, node: Node, mac: str) -> Node:
        """It runs, so it was installed, although its installer's last word did not reach us."""
        done = lifecycle.installing(node, "install.done", {})
        if done == node:
            return node
        self._record(node, mac, "install.done", "installed: it called home", {})
        return self._registry.nodes.save(done)

    def _room(self, request: NodeRequest, token: Token) -> Reply:
        """A diskless machine says how full its write layer is."""
        with self._registry.transaction():
            node = self._registry.nodes.get(int(token.subject))
            if node is None:
                raise Refused(403, "this node was removed")
            said = roomnews.read(_form(request), self._clock())
            text = roomnews.news(self._registry.upkeep.room(node.id), said)
            self._registry.upkeep.set_room(node.id, said)
            if text is not None:
                mac = str(token.data.get("mac") or "")
                self._record(node, mac, "root.full", text, {"used": said.used, "size": said.size})
        return json_reply({})

    def _disk_key(self, request: NodeRequest, token: Token) -> Reply:
        """A machine that starts from an encrypted disk asks for its passphrase, long before it is itself."""
        with self._registry.transaction():
            node = self._registry.nodes.get(int(token.subject))
            if node is None:
                raise Refused(403, "this node was removed")
            text = f"was given the key of its disk ({request.peer})"
            self._record(node, str(token.data.get("mac") or ""), "disk.key", text, {"peer": request.peer})
            return Reply(200, diskkeys.passphrase(self._registry, node).encode(), "text/plain")

    def _change(self, node: Node, before: Node | None = None) -> None:
        if node != before:
            self._registry.nodes.save(node)

    def _record(self, node: Node, mac: str, kind: str, text: str, data: Mapping[str, Any]) -> None:
        self._registry.events.add(self._clock(), kind, text, mac or None, node.id, data)


def _wait_of(request: NodeRequest) -> float:
    text = request.query.get("wait", "0")
    return min(float(text), LONGEST_WAIT) if re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text) else 0.0


def _host_keys(data: Mapping[str, Any]) -> list[str]:
    """What an imaging says of its SSH host keys, as lines of a known_hosts file without the name."""
    keys = data.get("ssh_host_keys")
    found = [str(key) for key in keys.values()] if isinstance(keys, dict) else []
    return [key for key in found if _HOST_KEY.match(key)]


def _list(body: bytes) -> list[Any]:
    value = decode(body, MAX_EVENTS * (MAX_TEXT + MAX_DATA))
    items = value if isinstance(value, list) else [value]
    if len(items) > MAX_EVENTS:
        raise Refused(413, f"more than {MAX_EVENTS} events at once")
    return items


def _event(item: object) -> tuple[str, str, dict[str, Any]]:
    if not isinstance(item, dict):
        raise Refused(400, "an event is a JSON object")
    kind, text, data = item.get("kind"), item.get("text") or "", item.get("data") or {}
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise Refused(400, "an event's kind is imager.*, deploy.* or root.*")
    if not isinstance(text, str) or not isinstance(data, dict):
        raise Refused(400, "an event has a text and an object of data")
    if len(msgspec.json.encode(data)) > MAX_DATA:
        raise Refused(413, f"an event's data has more than {MAX_DATA} bytes")
    return kind, printable(text[:MAX_TEXT]), data


def _form(request: NodeRequest) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        return object_of(request.body, MAX_DATA)
    text = request.body[:MAX_DATA].decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
