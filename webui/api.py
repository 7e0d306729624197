"""The REST API, /api/v1: the same verbs as the shell's, JSON in and out.

    GET    /api/v1/nodes[?group=G]       POST the same: {"name", "macs", "address", "method", "image", ...}
    GET    /api/v1/nodes/unknown
    POST   /api/v1/nodes/range           {"base", "first", "last", "first_address", ...}
    GET    /api/v1/nodes/REF             PATCH, DELETE the same; REF is a name, a MAC or an id
    POST   /api/v1/nodes/REF/adopt       {"name", "image", ...}
    GET    /api/v1/nodes/REF/boots, /explain, /log[?since=ID]
    POST   /api/v1/install          {"nodes", "profile", "tree"}
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

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from bootsrv.appliance.nodes import Wanted
from bootsrv.appliance.roots import Wanted as WantedRoot
from bootsrv.errors import Invalid
from bootsrv.model import Node
from bootsrv.records import (
    Record,
    boot_record,
    event_record,
    leased,
    node_record,
    progress_record,
    room_record,
    served_record,
    version_record,
)
from webui.context import appliance
from webui.names import Names

MOST_EVENTS = 5000

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """What every request body keeps to."""


class NodeBody(Body):
    """Fields of a node; what is left out stays as it is, null takes it away where that makes sense."""

    name: str | None = None
    macs: list[str] | None = None
    address: str | msgspec.UnsetType | None = msgspec.UNSET
    method: str | None = None
    image: str | msgspec.UnsetType | None = msgspec.UNSET
    groups: list[str] | None = None
    disk: str | msgspec.UnsetType | None = msgspec.UNSET
    layout: str | msgspec.UnsetType | None = msgspec.UNSET
    profile: str | msgspec.UnsetType | None = msgspec.UNSET
    mode: str | msgspec.UnsetType | None = msgspec.UNSET
    root: str | msgspec.UnsetType | None = msgspec.UNSET
    writes: str | msgspec.UnsetType | None = msgspec.UNSET
    paths: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    write_limit: str | int | msgspec.UnsetType | None = msgspec.UNSET
    options: dict[str, Any] | None = None
    identities: dict[str, list[str]] | None = None  # exactly these: {"uuid": ["..."], "serial": [...]}
    arm: bool = True


CLEARABLE = (
    "address", "image", "disk", "layout", "profile", "mode", "root", "writes", "paths", "write_limit",
)  # fmt: skip


class RangeBody(Body):
    base: str
    first: str | int
    last: str | int
    first_address: str | None = None
    method: str | None = None
    image: str | None = None
    macs: list[str] | None = None
    groups: list[str] | None = None


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
    try:
        return msgspec.json.decode(request.get_data(), type=kind)
    except msgspec.DecodeError as error:  # not JSON, or JSON of another shape
        raise Invalid(f"request body: {str(error).replace('`', '')}") from error


def _ref(text: str) -> str:
    """Names are never digits only, so a short number is an id."""
    return f"#{text}" if text.isascii() and text.isdigit() and len(text) < 12 else text


def node_of(ref: str) -> Node:
    """A node by name, MAC or id."""
    return appliance().nodes.show(_ref(ref))


def _wanted(body: NodeBody) -> Wanted:
    clearable = {name: getattr(body, name) for name in CLEARABLE}
    given = {
        key: value for key, value in clearable.items() if value is not None and value is not msgspec.UNSET
    }
    return Wanted(
        name=body.name,
        macs=body.macs,
        method=body.method,
        groups=body.groups,
        options=body.options,
        clear=[key.replace("_", "-") for key, value in clearable.items() if value is None],
        **given,
    )


def _identified(node: Node, body: NodeBody) -> Record:
    if body.identities is not None:
        pairs = [(kind, value) for kind, values in body.identities.items() for value in values]
        appliance().identities.set(node, pairs, replace=True)
    return _full(node)


def _full(node: Node) -> Record:
    room = appliance().roots.room(node)
    told = room_record(room) if room is not None else None
    machine = appliance().exports.of(node)
    served = served_record(machine) if machine is not None else None
    known = appliance().identities.record(node)
    (record,) = leased([node], appliance().leases.held([node]))
    return record | {"room": told, "served": served, "identities": known}


def _whole(name: str, default: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"{name}: {text!r} is not a number")
    return int(text)


def _listed(nodes: Sequence[Node]) -> ResponseReturnValue:
    return jsonify(nodes=leased(nodes, appliance().leases.held(nodes)))


@blueprint.get("/nodes")
def list_nodes() -> ResponseReturnValue:
    return _listed(appliance().nodes.list(request.args.get("group")))


@blueprint.get("/nodes/unknown")
def list_unknown() -> ResponseReturnValue:
    return _listed(appliance().nodes.unknown())


@blueprint.post("/nodes")
def add_node() -> ResponseReturnValue:
    body = body_of(NodeBody)
    with appliance().registry.transaction():
        node = appliance().nodes.add(_wanted(body), body.arm)
        return jsonify(_identified(node, body)), 201


@blueprint.post("/nodes/range")
def add_range() -> ResponseReturnValue:
    body = body_of(RangeBody)
    wanted = Wanted(macs=body.macs, method=body.method, image=body.image, groups=body.groups)
    made = appliance().nodes.add_range(body.base, str(body.first), str(body.last), body.first_address, wanted)
    return jsonify(nodes=[node_record(node) for node in made]), 201


@blueprint.get("/nodes/<ref>")
def show_node(ref: str) -> ResponseReturnValue:
    node = appliance().nodes.show(_ref(ref))
    progress = appliance().watch.progress().get(node.id)
    return jsonify(_full(node) | {"progress": progress_record(progress)})


@blueprint.patch("/nodes/<ref>")
def change_node(ref: str) -> ResponseReturnValue:
    body = body_of(NodeBody)
    with appliance().registry.transaction():
        return jsonify(_identified(appliance().nodes.set(_ref(ref), _wanted(body)), body))


@blueprint.delete("/nodes/<ref>")
def remove_node(ref: str) -> ResponseReturnValue:
    appliance().nodes.remove(_ref(ref), force=request.args.get("force") == "1")
    return "", 204


@blueprint.post("/nodes/<ref>/adopt")
def adopt_node(ref: str) -> ResponseReturnValue:
    body = body_of(NodeBody)
    with appliance().registry.transaction():
        return jsonify(_identified(appliance().nodes.adopt(_ref(ref), _wanted(body), body.arm), body))


@blueprint.get("/nodes/<ref>/boots")
def boots(ref: str) -> ResponseReturnValue:
    node = appliance().nodes.show(_ref(ref))
    return jsonify(boots=[boot_record(boot) for boot in appliance().watch.boots(node)])


@blueprint.get("/nodes/<ref>/explain")
def explain(ref: str) -> ResponseReturnValue:
    lines = appliance().watch.explain(appliance().nodes.show(_ref(ref)))
    return jsonify(lines=[{"label": line.label, "text": line.text} for line in lines])


@blueprint.get("/nodes/<ref>/log")
def log(ref: str) -> ResponseReturnValue:
    pieces = appliance().watch.log(appliance().nodes.show(_ref(ref)), since=_whole("since", 0))
    return jsonify(pieces=[{"id": number, "text": text} for number, text in pieces])


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
    node = appliance().nodes.show(_ref(ref)) if ref else None
    names = Names(appliance())
    found = appliance().watch.events(_whole("since", 0), min(_whole("limit", 500), MOST_EVENTS), node)
    return jsonify(events=[event_record(event, names.of(event.node)) for event in found])
