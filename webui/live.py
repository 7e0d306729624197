"""Events as they happen: the events page, and the stream of server-sent events that all pages listen to.

Every message carries the registry's event id, so a browser that was away resumes after the last one it saw.
A comment every few seconds keeps the connection (and the forwarder's) from looking dead, and lets us notice
who has left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from flask import Blueprint, Flask, Response, abort, current_app, render_template, request
from flask.typing import ResponseReturnValue

from bootsrv.model import Event
from bootsrv.records import event_record
from webui.context import appliance
from webui.hub import EventHub
from webui.names import Names
from webui.server import LIVE_PAGES

HEARTBEAT = 10.0  # seconds between signs of life
LONGEST = 600.0  # seconds until the browser is asked to connect again (and is checked again)
SHOWN = 200
MOST_MISSED = 2000  # events; a page that missed more is told to load itself again

blueprint = Blueprint("live", __name__)


def install(app: Flask, stopping: Callable[[], bool]) -> None:
    watch = app.extensions["appliance"].watch
    app.extensions["hub"] = EventHub(lambda since, limit: watch.events(since, limit))
    app.extensions["stopping"] = stopping
    app.register_blueprint(blueprint)


@blueprint.get("/events")
def page() -> ResponseReturnValue:
    newest = list(reversed(appliance().watch.latest(SHOWN)))
    return render_template("events.html", section="live.page", events=newest, names=Names(appliance()))


@blueprint.get("/events/stream")
def stream() -> ResponseReturnValue:
    hub: EventHub = current_app.extensions["hub"]
    if hub.pages >= LIVE_PAGES:
        abort(503, "Too many live pages are open; this one is not live.")
    given = request.headers.get("Last-Event-ID") or request.args.get("since", "")
    known = given.isascii() and given.isdigit() and len(given) < 19
    newest = appliance().watch.last_event()
    last = int(given) if known else newest
    # A page from before a restored registry, or one that slept for days: it looks anew. Its number must not
    # reach the hub, which reads on from there for everybody.
    lost = not newest - MOST_MISSED <= last <= newest
    body = _messages(
        hub, Names(appliance()), newest if lost else last, current_app.extensions["stopping"], lost
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(body, mimetype="text/event-stream", headers=headers)


def _messages(
    hub: EventHub, names: Names, last: int, stopping: Callable[[], bool], lost: bool = False
) -> Iterator[bytes]:
    hub.join(last)
    try:
        begun = spoken = time.monotonic()
        yield b"retry: 2000\n\n"
        if lost:
            yield _reset(last)
        while not stopping() and time.monotonic() - begun < LONGEST:
            events, whole, last = hub.after(last, timeout=1.0)
            if not whole:
                yield _reset(last)
            elif events:
                yield b"".join(_message(event, names) for event in thinned(events))
            elif time.monotonic() - spoken >= HEARTBEAT:
                yield b": still here\n\n"
            else:
                continue
            spoken = time.monotonic()
    finally:
        hub.leave()


def thinned(events: Sequence[Event]) -> list[Event]:
    """Of several progress reports of one machine only the newest; it would overwrite the others."""
    newest = {event.node: event.id for event in events if event.kind == "deploy.progress"}
    return [event for event in events if event.kind != "deploy.progress" or newest[event.node] == event.id]


def _reset(last: int) -> bytes:
    return b"id: %d\nevent: reset\ndata: {}\n\n" % last


def _message(event: Event, names: Names) -> bytes:
    body = msgspec.json.encode(event_record(event, names.of(event.node)))
    return b"id: %d\ndata: %s\n\n" % (event.id, body)
