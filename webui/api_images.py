"""The REST API on single versions of images.

    GET    /api/v1/images/REF                REF is NAME, NAME@NUMBER or NAME@TAG; DELETE the same
    GET    /api/v1/images/REF/changes?from=REF     files, packages, services, kernel
    PUT    /api/v1/images/REF/tags/TAG       DELETE /api/v1/images/NAME/tags/TAG
"""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from bootsrv.errors import Invalid
from bootsrv.records import version_record
from webui.context import appliance

blueprint = Blueprint("api_images", __name__, url_prefix="/api/v1/images")


@blueprint.get("/<ref>")
def show(ref: str) -> ResponseReturnValue:
    return jsonify(image=version_record(appliance().images.resolve(ref)))


@blueprint.delete("/<ref>")
def remove(ref: str) -> ResponseReturnValue:
    return jsonify(image=version_record(appliance().images.remove(ref)))


@blueprint.get("/<ref>/changes")
def changes(ref: str) -> ResponseReturnValue:
    old = request.args.get("from")
    if not old:
        raise Invalid("from: which version to compare with, as NAME@NUMBER")
    return jsonify(appliance().images.diff(old, ref).record())


@blueprint.put("/<ref>/tags/<tag>")
def put_tag(ref: str, tag: str) -> ResponseReturnValue:
    return jsonify(image=version_record(appliance().images.tag(ref, tag)))


@blueprint.delete("/<name>/tags/<tag>")
def delete_tag(name: str, tag: str) -> ResponseReturnValue:
    appliance().images.untag(name, tag)
    return jsonify(removed=f"{name}@{tag}")
