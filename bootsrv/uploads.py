"""The capture API: what a machine that uploads itself says to us (`/capture/v1/*`).

A capture token opens one capture, of the name it was made for, once: publishing uses it up. Everything that
arrives is a stranger's: sizes are bounded, fields are checked. All calls come from one thread, one at a time;
a call that comes again after a broken connection gives the same answer. The state of a capture that was cut
off is forgotten after a while, its chunks stay in the store for the next try.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bootsrv import lifecycle, tasks
from bootsrv.appliance.captures import PURPOSE
from bootsrv.appliance.errors import translated
from bootsrv.appliance.images import Images
from bootsrv.calls import Refused, json_reply, object_of
from bootsrv.errors import BootsrvError, NotFound
from bootsrv.registry.registry import Registry
from bootsrv.registry.tokens import Token
from images import zstd
from images.capture import wire
from images.capture.receiver import Early, Receiver, Torn
from images.errors import ChunkMissing, ImageError
from images.versions import Version
from pxe.http.ports import Reply

log = logging.getLogger(__name__)
IDLE_SECONDS = 1800.0
USED_SECONDS = 900.0  # how long a used token still tells what became of it
MAX_OPEN = 16
EARLY = 425  # a body of the stream overtook the one before it
MAX_TEXT, MAX_ITEMS, MAX_JSON = 4000, 2000, wire.LIMIT
OTHER = (
    "this agent is of another version of bootsrv than its server: fetch it there again (SERVER/agent);"
    " an imager comes with `./run setup` there"
)
_UNPACK = {wire.ZLIB: lambda packed, length: _inflate(packed, length), wire.ZSTD: zstd.decompress}


@dataclass(frozen=True, slots=True)
class Asked:
    """One call, its body read. `path` is what comes after /capture/v1/."""

    method: str
    path: str
    query: Mapping[str, str]
    body: wire.Bytes
    token: str | None


@dataclass
class _Open:
    """One capture under way."""

    session: str
    receiver: Receiver
    parent: Version | None
    host: str
    used: float


class Uploads:
    """Answers capture calls. Belongs to one thread."""

    def __init__(self, registry: Registry, images: Images, clock: Callable[[], float] = time.time) -> None:
        self._registry, self._images, self._clock = registry, images, clock
        self._open: dict[str, _Open] = {}  # by the token's subject
        self._routes: Mapping[tuple[str, str], Callable[[Asked, Token], Reply]] = {
            ("POST", "begin"): self._begin,
            ("GET", "base"): self._base,
            ("POST", "have"): self._have,
            ("POST", "chunks"): self._chunks,
            ("POST", "stream"): self._stream,
            ("POST", "progress"): self._progress,
            ("POST", "publish"): self._publish,
            ("POST", "fail"): self._fail,
        }

    def handle(self, request: Asked) -> Reply:
        """The answer; refusals and errors of the sender as one line of JSON."""
        call = self._routes.get((request.method, request.path))
        try:
            if call is None:
                raise Refused(404, "no such call")
            with translated():
                return call(request, self._token(request))
        except Refused as refused:
            return json_reply({"error": refused.text}, refused.status)
        except BootsrvError as error:
            if error.http_status < 500:
                return json_reply({"error": str(error)}, error.http_status)
            log.error("capture: %s", error)  # the store is damaged: asking again would not help
            return json_reply({"error": str(error)}, 424)
        except OSError as error:
            log.exception("capture: %s failed", request.path)
            return json_reply({"error": f"the store cannot be written: {error.strerror or error}"}, 507)

    def admits(self, token: str | None) -> bool:
        """Whether a body that comes with this token is worth reading."""
        found = self._registry.tokens.check(token, self._clock()) if token else None
        return found is not None and found.purpose == PURPOSE

    def tidy(self) -> None:
        """Forget captures that nobody goes on with."""
        for subject, one in list(self._open.items()):
            if self._clock() - one.used > IDLE_SECONDS:
                self._drop(subject)

    def close(self) -> None:
        """Forget all; what was taken stays in the store."""
        for subject in list(self._open):
            self._drop(subject)

    def _drop(self, subject: str) -> None:
        try:
            self._open.pop(subject).receiver.close()
        except (OSError, ImageError):
            log.exception("what a capture had sent could not be kept")

    def _token(self, request: Asked) -> Token:
        found = self._registry.tokens.check(request.token, self._clock()) if request.token else None
        if found is None:
            raise Refused(401, "unknown or expired token: `bootsrv image capture --token` makes a new one")
        if found.purpose != PURPOSE:
            raise Refused(403, "this token is for something else")
        if found.data.get("published") and request.path != "publish":
            raise Refused(403, f"this token was used already: it made {found.data['published']['ref']}")
        return found

    def _current(self, request: Asked, token: Token) -> _Open:
        one = self._open.get(token.subject)
        if one is None or one.session != request.query.get("session"):
            raise Refused(410, "this capture was interrupted on the server: begin again")
        one.used = self._clock()
        return one

    # --- one capture

    def _begin(self, request: Asked, token: Token) -> Reply:
        said = object_of(bytes(request.body), MAX_JSON)
        if said.get("wire") != wire.VERSION:
            raise Refused(400, OTHER)
        name, kind = str(token.data["name"]), str(token.data.get("kind") or "tree")
        if said.get("name") not in (None, "", name):
            raise Refused(403, f"this token is for an image named {name}, not {_text(said, 'name')!r}")
        if said.get("kind", "tree") != kind:
            raise Refused(403, f"this token is for a capture of a {kind}")
        self.tidy()
        if token.subject in self._open:
            self._drop(token.subject)
        if len(self._open) >= MAX_OPEN:
            raise Refused(503, f"{MAX_OPEN} captures are under way: try again later")
        self._images.store().private_key()  # without it nothing can be published: better known before
        host = _text(said, "host") or "a machine"
        base = self._base_of(name, kind, _text(said, "made_from"), _text(said, "machine"))
        one = _Open(secrets.token_hex(8), Receiver(self._images.store()), base, host, self._clock())
        self._open[token.subject] = one
        self._event(token, "capture.started", f"{host} is captured as {name}", {"name": name, "host": host})
        meta = base.meta if base is not None else {}
        return json_reply(
            {
                "session": one.session,
                "wire": wire.VERSION,
                "name": name,
                "blank": not self._images.list(),
                "base": base.id if base is not None else None,
                "base_ref": base.ref if base is not None else None,
                "capture_excludes": meta.get("capture_excludes"),
                "update_excludes": meta.get("update_excludes"),
            }
        )

    def _base_of(self, name: str, kind: str, made_from: str, machine: str) -> Version | None:
        """What the machine was made from, as far as anybody knows: its own last capture under this name, or
        what it was imaged with, or the name's latest."""
        latest = self._version(name)
        if latest is not None and machine and latest.meta.get("captured", {}).get("machine") == machine:
            return latest if latest.kind == kind else None
        for version in (self._version(made_from) if made_from else None, latest):
            if version is not None and version.kind == kind:
                return version
        return None

    def _version(self, ref: str) -> Version | None:
        try:
            return self._images.resolve(ref)
        except NotFound:
            return None

    def _base(self, request: Asked, token: Token) -> Reply:
        one = self._current(request, token)
        path = self._images.store().manifest_path(one.parent.id) if one.parent is not None else None
        if path is None:
            raise Refused(404, "there is no version to start from")
        return Reply(200, path.read_bytes(), "application/octet-stream")

    def _have(self, request: Asked, token: Token) -> Reply:
        known = self._current(request, token).receiver.known(wire.unpack_ids(bytes(request.body)))
        return Reply(200, wire.pack_known(known), "application/octet-stream")

    def _chunks(self, request: Asked, token: Token) -> Reply:
        chunks = wire.unpack_chunks(wire.unseal(request.body, _UNPACK))
        self._current(request, token).receiver.chunks(chunks)
        return json_reply({})

    def _stream(self, request: Asked, token: Token) -> Reply:
        one, number = self._current(request, token), request.query.get("number", "")
        if not re.fullmatch(r"[0-9]{1,9}", number):
            raise Refused(400, "each body of the stream has its number")
        try:
            one.receiver.stream(int(number), wire.unseal(request.body, _UNPACK))
        except Early as early:
            raise Refused(EARLY, str(early)) from early
        except Torn as torn:
            raise Refused(410, str(torn)) from torn
        return json_reply({})

    def _progress(self, request: Asked, token: Token) -> Reply:
        one, said = self._current(request, token), object_of(bytes(request.body), MAX_JSON)
        numbers = ("done", "total", "files", "sent", "rate")
        data = {key: said[key] for key in numbers if _number(said.get(key))}
        text = f"{one.host}: {_text(said, 'text')}"
        self._event(token, "capture.progress", text, {**data, "name": token.data["name"]})
        return json_reply({})

    def _publish(self, request: Asked, token: Token) -> Reply:
        if token.data.get("published"):
            return json_reply(token.data["published"])
        one, said = self._current(request, token), object_of(bytes(request.body), MAX_JSON)
        name = str(token.data["name"])
        comment = str(token.data.get("comment") or "") or _text(said, "comment")
        meta = {key: _strings(said.get(key)) for key in ("capture_excludes", "update_excludes")}
        facts = said.get("captured") if isinstance(said.get("captured"), dict) else {}
        shape = {"disk": said["disk"]} if isinstance(said.get("disk"), dict) else {}
        parent = one.parent.id if one.parent is not None else None
        kind = str(token.data.get("kind") or "tree")
        warnings = _strings(said.get("warnings"))
        try:
            made = one.receiver.publish(
                name, comment, parent, {**meta, **shape, "captured": facts}, warnings, kind
            )
        except ChunkMissing as error:  # a version was removed meanwhile, and with it what it alone held
            raise Refused(410, str(error)) from error
        result = {"ref": made.ref, "files": made.files, "bytes": made.bytes, "added": one.receiver.added}
        with self._registry.transaction():
            assert request.token is not None
            self._registry.tokens.set_data(request.token, {**token.data, "published": result})
            self._registry.tokens.extend(request.token, self._clock() + USED_SECONDS)
            self._finish_node(token)
            self._event(token, "capture.done", f"{one.host} is now {made.ref}", result)
        self._drop(token.subject)
        return json_reply(result)

    def _fail(self, request: Asked, token: Token) -> Reply:
        said = object_of(bytes(request.body), MAX_JSON)
        self._event(token, "capture.failed", _text(said, "error") or "the capture failed", {})
        if token.subject in self._open:
            self._drop(token.subject)
        return json_reply({})

    def _finish_node(self, token: Token) -> None:
        """A node that was booted only to be captured goes back to its own disk, unless something else was
        asked of it meanwhile."""
        node, arming = self._registry.nodes.get(int(token.data.get("node") or 0)), token.data.get("arming")
        if node is not None and arming and tasks.deploy_id(node) == arming:
            self._registry.nodes.save(lifecycle.captured(node))

    def _event(self, token: Token, kind: str, text: str, data: Mapping[str, Any]) -> None:
        node = token.data.get("node")
        self._registry.events.add(self._clock(), kind, text, None, int(node) if node else None, data)


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]", "?", value[:MAX_TEXT]) if isinstance(value, str) else ""


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _strings(value: object) -> list[str]:
    items = value if isinstance(value, list) else []
    return [item[:MAX_TEXT] for item in items[:MAX_ITEMS] if isinstance(item, str)]


def _inflate(packed: wire.Bytes, length: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, length + 1)
    except zlib.error as error:
        raise Refused(400, f"zlib: {error}") from error
