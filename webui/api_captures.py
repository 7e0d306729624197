"""The REST API on captures.

    POST   /api/v1/captures     {"name", "comment", "hours"}: a token, and the line to type on the machine
                                {"name", "comment", "node", "kind"}: by the imager; kind is `tree` or `disk`
"""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from bootsrv.errors import Invalid
from bootsrv.records import node_record
from webui.api import Body, body_of
from webui.capture import DISK, TREE, line
from webui.context import appliance

blueprint = Blueprint("api_captures", __name__, url_prefix="/api/v1/captures")


class CaptureBody(Body):
    name: str
    comment: str = ""
    hours: float = 24.0
    node: str | None = None
    kind: str = TREE


@blueprint.post("")
def make() -> ResponseReturnValue:
    body = body_of(CaptureBody)
    verbs = appliance()
    if body.node is None:
        made = verbs.captures.token(body.name, body.comment, body.hours)
        return jsonify(token=made.text, name=made.name, expires=made.expires, command=line(made)), 201
    if body.kind not in (TREE, DISK):
        raise Invalid(f"kind {body.kind!r} is neither tree nor disk")
    (armed,) = verbs.captures.offline([verbs.nodes.show(body.node)], body.name, body.kind, body.comment)
    return jsonify(node=node_record(armed))
