"""The REST API, /api/v1: the same verbs as the shell's, JSON in and out. Here is what all of it keeps to.

    POST   /api/v1/install               {"nodes", "profile", "tree"}
    POST   /api/v1/reimage, /retry, /cancel    {"nodes": "n[01-32],@rack3", "image", "wipe"}
    POST   /api/v1/diskless              {"nodes", "image", "root", "writes", "paths", "write_limit"}
    POST   /api/v1/local                 {"nodes"}: their own disks again
    GET    /api/v1/images[?name=NAME]
    GET    /api/v1/exports, /exports/REF      (exports.py)
    GET    /api/v1/events[?since=ID&limit=N&node=REF]

Who asks says so with `Authorization: Bearer TOKEN`, or has a session and sends `X-CSRF-Token`. Errors are
`{"error": {"status", "reason"}}`. Unknown keys are refused: a misspelt one must not be dropped silently.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from bootsrv.appliance.roots import Wanted as WantedRoot
from bootsrv.errors import Invalid
from bootsrv.model import Node
from bootsrv.records import event_record, node_record, version_record
from webui.context import appliance
from webui.names import Names

MOST_EVENTS = 5000

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """What every request body keeps to."""


class InstallBody(Body):
    nodes: str
    profile: str | None = None
    tree: str | None = None


class Many(Body):
    nodes: str
    image: str | None = None
    wipe: bool = False


class RootsBody(Body):
    nodes: str
    image: str | None = None
    root: str | None = None
    writes: str | None = None
    paths: list[str] | None = None
    write_limit: str | int | None = None


Kind = TypeVar("Kind", bound=Body)


def body_of(kind: type[Kind]) -> Kind:
    """The request's body. Raises Invalid with what is wrong in it."""
    try:
        return msgspec.json.decode(request.get_data(), type=kind)
    except msgspec.DecodeError as error:  # not JSON, or JSON of another shape
        raise Invalid(f"request body: {str(error).replace('`', '')}") from error


def ref_of(text: str) -> str:
    """A node as an address names it. Names are never digits only, so a short number is an id."""
    return f"#{text}" if text.isascii() and text.isdigit() and len(text) < 12 else text


def node_of(ref: str) -> Node:
    """A node by name, MAC or id."""
    return appliance().nodes.show(ref_of(ref))


def whole(name: str, default: int) -> int:
    """A whole number of the query. Raises Invalid."""
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"{name}: {text!r} is not a number")
    return int(text)


@blueprint.post("/reimage")
def reimage() -> ResponseReturnValue:
    body = body_of(Many)
    armed = appliance().deploys.reimage(appliance().nodes.select(body.nodes), body.image, body.wipe)
    return jsonify(nodes=[node_record(node) for node in armed])


@blueprint.post("/install")
def install() -> ResponseReturnValue:
    body = body_of(InstallBody)
    armed = appliance().installs.install(appliance().nodes.select(body.nodes), body.profile, body.tree)
    return jsonify(nodes=[node_record(node) for node in armed])


@blueprint.post("/retry")
def retry() -> ResponseReturnValue:
    again = appliance().deploys.retry(appliance().nodes.select(body_of(Many).nodes))
    return jsonify(nodes=[node_record(node) for node in again])


@blueprint.post("/cancel")
def cancel() -> ResponseReturnValue:
    left = appliance().deploys.cancel(appliance().nodes.select(body_of(Many).nodes))
    return jsonify(nodes=[node_record(node) for node in left])


@blueprint.post("/diskless")
def diskless() -> ResponseReturnValue:
    body = body_of(RootsBody)
    wanted = WantedRoot(body.root, body.writes, body.paths, body.write_limit)
    moved = appliance().roots.move(appliance().nodes.select(body.nodes), body.image, wanted)
    return jsonify(nodes=[node_record(node) for node in moved])


@blueprint.post("/local")
def local() -> ResponseReturnValue:
    left = appliance().roots.leave(appliance().nodes.select(body_of(Many).nodes))
    return jsonify(nodes=[node_record(node) for node in left])


@blueprint.get("/images")
def list_images() -> ResponseReturnValue:
    return jsonify(
        images=[version_record(version) for version in appliance().images.list(request.args.get("name"))]
    )


@blueprint.get("/events")
def events() -> ResponseReturnValue:
    ref = request.args.get("node")
    node = appliance().nodes.show(ref_of(ref)) if ref else None
    names = Names(appliance())
    found = appliance().watch.events(whole("since", 0), min(whole("limit", 500), MOST_EVENTS), node)
    return jsonify(events=[event_record(event, names.of(event.node)) for event in found])
