"""The trees page: what the distributions' own installers boot, and where they fetch their packages."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from webui.context import appliance

blueprint = Blueprint("trees", __name__)


@blueprint.get("/trees")
def listing() -> ResponseReturnValue:
    verbs = appliance()
    found, wrong = verbs.trees.readable()
    updates = {tree.name: verbs.trees.updates(tree.name) for tree in found}
    archives = verbs.mirrors.listing()
    return render_template(
        "trees.html", section="trees.listing", trees=found, wrong=wrong, updates=updates, archives=archives
    )
