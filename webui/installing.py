"""Installations by the distributions' own installers, as they are asked for in the page."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from bootsrv.model import Node
from webui.actions import chosen, nobody_chosen, told_armed
from webui.context import appliance
from webui.forms import Form
from webui.register import attempt

blueprint = Blueprint("installing", __name__)
FIELDS = ("profile", "tree")


@blueprint.route("/nodes/install", methods=["GET", "POST"])
def install() -> ResponseReturnValue:
    nodes = chosen(request.values.getlist("id"))
    if not nodes:
        return nobody_chosen("install")
    if request.method == "GET":
        return _page(nodes, Form())
    form = Form(request.form.to_dict())
    attempt(
        form, lambda: appliance().installs.install(nodes, form.given("profile"), form.given("tree")), FIELDS
    )
    if not form.good:
        return _page(nodes, form), 422
    return told_armed(nodes, "installs")


def _page(nodes: list[Node], form: Form) -> str:
    own = {node.answers for node in nodes if node.answers}
    usual = next(iter(own)) if len(own) == 1 else None
    profiles = [("", f"Its own profile ({usual})" if usual else "Each node's own profile")]
    profiles += [(name, name) for name in appliance().profiles.profiles()]
    trees = [("", "The one that fits the profile")]
    trees += [(one.name, f"{one.name} ({one.facts.title})") for one in appliance().trees.readable()[0]]
    return render_template("install.html", nodes=nodes, form=form, profiles=profiles, trees=trees)
