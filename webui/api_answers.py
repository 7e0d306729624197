"""The REST API on profiles and layers of answer files, and on what they make of a node.

    GET    /api/v1/answers                without their texts
    GET    /api/v1/answers/REF            REF: a profile, defaults, distribution:NAME, group:NAME, node:NAME,
                                          with @NUMBER one version of it
    PUT    /api/v1/answers/REF            {"text": TOML, "comment", "base": the version it was made from};
                                          refused with every finding
    DELETE /api/v1/answers/REF
    GET    /api/v1/answers/REF/history, /diff?from=REF
    POST   /api/v1/answers/REF/preview    {"text", "node"}: what it would make; nothing is saved
    GET    /api/v1/nodes/REF/answers[?profile=NAME]     secrets are masked
    GET    /api/v1/secrets                names and times
    PUT    /api/v1/secrets/NAME           {"value"}; DELETE the same
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, jsonify, request
from flask.typing import ResponseReturnValue

from bootsrv.answers.files import finding_record
from bootsrv.answers.making import Made
from bootsrv.appliance.profiles import Unusable
from bootsrv.errors import Invalid
from bootsrv.records import answer_record
from webui.api import Body, body_of, node_of
from webui.context import appliance

blueprint = Blueprint("api_answers", __name__, url_prefix="/api/v1")


class TextBody(Body):
    text: str
    comment: str = ""
    base: int | None = None


class PreviewBody(Body):
    text: str
    node: str | None = None


class SecretBody(Body):
    value: str


@blueprint.get("/answers")
def every() -> ResponseReturnValue:
    return jsonify(answers=[answer_record(one) for one in appliance().profiles.list()])


@blueprint.get("/answers/<ref>")
def show(ref: str) -> ResponseReturnValue:
    found = appliance().profiles.get(ref)
    nodes = [node.name for node in appliance().profiles.users_of(found.ref)]
    return jsonify(answer_record(found) | {"text": found.text, "nodes": nodes})


@blueprint.put("/answers/<ref>")
def save(ref: str) -> ResponseReturnValue:
    body = body_of(TextBody)
    try:
        made = appliance().profiles.save(ref, body.text, str(g.user), body.comment, body.base)
    except Unusable as error:
        findings = [finding_record(one) for one in error.findings]
        reason = {"status": error.http_status, "reason": str(error), "findings": findings}
        return jsonify(error=reason), error.http_status
    return jsonify(answer_record(made))


@blueprint.delete("/answers/<ref>")
def remove(ref: str) -> ResponseReturnValue:
    appliance().profiles.remove(ref)
    return "", 204


@blueprint.get("/answers/<ref>/history")
def history(ref: str) -> ResponseReturnValue:
    return jsonify(versions=[answer_record(one) for one in appliance().profiles.history(ref)])


@blueprint.get("/answers/<ref>/diff")
def diff(ref: str) -> ResponseReturnValue:
    old = request.args.get("from")
    if not old:
        raise Invalid("from: which text to compare with, as NAME or NAME@NUMBER")
    return jsonify(diff=appliance().profiles.diff(old, ref))


@blueprint.post("/answers/<ref>/preview")
def preview(ref: str) -> ResponseReturnValue:
    body = body_of(PreviewBody)
    node = node_of(body.node) if body.node is not None else None
    return jsonify(_made(appliance().profiles.preview(ref, body.text, node)))


@blueprint.get("/nodes/<ref>/answers")
def of_node(ref: str) -> ResponseReturnValue:
    return jsonify(_made(appliance().profiles.render(node_of(ref), request.args.get("profile"))))


@blueprint.get("/secrets")
def secrets() -> ResponseReturnValue:
    found = appliance().profiles.secrets.list()
    return jsonify(secrets=[{"name": name, "at": at} for name, at in found.items()])


@blueprint.put("/secrets/<name>")
def set_secret(name: str) -> ResponseReturnValue:
    appliance().profiles.secrets.set(name, body_of(SecretBody).value)
    return "", 204


@blueprint.delete("/secrets/<name>")
def remove_secret(name: str) -> ResponseReturnValue:
    appliance().profiles.secrets.remove(name)
    return "", 204


def _made(made: Made) -> dict[str, Any]:
    return {
        "node": made.node.name,
        "target": made.target.name if made.target is not None else None,
        "good": made.good,
        "text": made.rendered.text,
        "findings": [finding_record(one) for one in made.rendered.findings],
    }
