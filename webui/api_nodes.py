"""The REST API on nodes.

GET    /api/v1/nodes[?group=G]       POST the same: {"name", "macs", "address", "method", "image", ...}
GET    /api/v1/nodes/unknown
POST   /api/v1/nodes/range           {"base", "first", "last", "first_address", ...}
GET    /api/v1/nodes/REF             PATCH, DELETE the same; REF is a name, a MAC or an id
POST   /api/v1/nodes/REF/adopt       {"name", "image", ...}
GET    /api/v1/nodes/REF/boots, /explain, /log[?since=ID]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from bootsrv.appliance.nodes import Wanted
from bootsrv.model import Node
from bootsrv.records import (
    Record,
    boot_record,
    leased,
    node_record,
    progress_record,
    room_record,
    served_record,
)
from webui.api import Body, body_of, node_of, ref_of, whole
from webui.context import appliance

blueprint = Blueprint("api_nodes", __name__, url_prefix="/api/v1/nodes")


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


def _listed(nodes: Sequence[Node]) -> ResponseReturnValue:
    return jsonify(nodes=leased(nodes, appliance().leases.held(nodes)))


@blueprint.get("")
def list_nodes() -> ResponseReturnValue:
    return _listed(appliance().nodes.list(request.args.get("group")))


@blueprint.get("/unknown")
def list_unknown() -> ResponseReturnValue:
    return _listed(appliance().nodes.unknown())


@blueprint.post("")
def add_node() -> ResponseReturnValue:
    body = body_of(NodeBody)
    with appliance().registry.transaction():
        node = appliance().nodes.add(_wanted(body), body.arm)
        return jsonify(_identified(node, body)), 201


@blueprint.post("/range")
def add_range() -> ResponseReturnValue:
    body = body_of(RangeBody)
    wanted = Wanted(macs=body.macs, method=body.method, image=body.image, groups=body.groups)
    made = appliance().nodes.add_range(body.base, str(body.first), str(body.last), body.first_address, wanted)
    return jsonify(nodes=[node_record(node) for node in made]), 201


@blueprint.get("/<ref>")
def show_node(ref: str) -> ResponseReturnValue:
    node = node_of(ref)
    progress = appliance().watch.progress().get(node.id)
    return jsonify(_full(node) | {"progress": progress_record(progress)})


@blueprint.patch("/<ref>")
def change_node(ref: str) -> ResponseReturnValue:
    body = body_of(NodeBody)
    with appliance().registry.transaction():
        return jsonify(_identified(appliance().nodes.set(ref_of(ref), _wanted(body)), body))


@blueprint.delete("/<ref>")
def remove_node(ref: str) -> ResponseReturnValue:
    appliance().nodes.remove(ref_of(ref), force=request.args.get("force") == "1")
    return "", 204


@blueprint.post("/<ref>/adopt")
def adopt_node(ref: str) -> ResponseReturnValue:
    body = body_of(NodeBody)
    with appliance().registry.transaction():
        return jsonify(_identified(appliance().nodes.adopt(ref_of(ref), _wanted(body), body.arm), body))


@blueprint.get("/<ref>/boots")
def boots(ref: str) -> ResponseReturnValue:
    node = node_of(ref)
    return jsonify(boots=[boot_record(boot) for boot in appliance().watch.boots(node)])


@blueprint.get("/<ref>/explain")
def explain(ref: str) -> ResponseReturnValue:
    lines = appliance().watch.explain(node_of(ref))
    return jsonify(lines=[{"label": line.label, "text": line.text} for line in lines])


@blueprint.get("/<ref>/log")
def log(ref: str) -> ResponseReturnValue:
    pieces = appliance().watch.log(node_of(ref), since=whole("since", 0))
    return jsonify(pieces=[{"id": number, "text": text} for number, text in pieces])
