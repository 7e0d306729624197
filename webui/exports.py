"""The exports page: which versions diskless machines have as their root, how, and who has them now; the
same as JSON below /api/v1/exports."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, jsonify, render_template
from flask.typing import ResponseReturnValue

from webui.context import appliance

blueprint = Blueprint("exports", __name__)


@blueprint.get("/exports")
def listing() -> ResponseReturnValue:
    return render_template("exports.html", section="exports.listing", exports=appliance().exports.list())


@blueprint.get("/api/v1/exports")
def list_exports() -> ResponseReturnValue:
    return jsonify(exports=[asdict(one) for one in appliance().exports.list()])


@blueprint.get("/api/v1/exports/<ref>")
def show_export(ref: str) -> ResponseReturnValue:
    return jsonify(exports=[asdict(one) for one in appliance().exports.show(ref)])
