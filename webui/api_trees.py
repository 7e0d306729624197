"""The REST API on install trees and package archives. Both are brought in by the shell.

GET    /api/v1/trees, /api/v1/trees/NAME     DELETE the latter
GET    /api/v1/mirrors, /api/v1/mirrors/NAME
"""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from bootsrv.records import mirror_record, tree_record
from webui.context import appliance

blueprint = Blueprint("api_trees", __name__, url_prefix="/api/v1")


@blueprint.get("/trees")
def trees() -> ResponseReturnValue:
    found, wrong = appliance().trees.readable()
    return jsonify(trees=[tree_record(tree) for tree in found], damaged=wrong)


@blueprint.get("/trees/<name>")
def tree(name: str) -> ResponseReturnValue:
    return jsonify(tree=tree_record(appliance().trees.show(name)))


@blueprint.delete("/trees/<name>")
def remove(name: str) -> ResponseReturnValue:
    return jsonify(tree=tree_record(appliance().trees.remove(name)))


@blueprint.get("/mirrors")
def mirrors() -> ResponseReturnValue:
    return jsonify(mirrors=[mirror_record(one) for one in appliance().mirrors.listing()])


@blueprint.get("/mirrors/<name>")
def mirror(name: str) -> ResponseReturnValue:
    return jsonify(mirror=mirror_record(appliance().mirrors.show(name)))
