"""Making an image of a machine from the page: the line to type on it, or the imager at its next boot."""

from __future__ import annotations

from ipaddress import ip_address

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bootsrv.appliance.captures import CaptureToken
from bootsrv.listening import machines_url, page_url
from bootsrv.model import Node, NodeState
from webui.context import appliance
from webui.forms import Form
from webui.register import attempt
from webui.show import title

blueprint = Blueprint("capture", __name__)
LINE, TREE, DISK = "line", "tree", "disk"
WAYS = (
    (LINE, "While it runs: a line to type on it"),
    (TREE, "By the imager at its next boot: its files"),
    (DISK, "By the imager at its next boot: the whole disk"),
)
FIELDS = ("name", "comment", "way")


@blueprint.route("/images/capture", methods=["GET", "POST"])
def machine() -> ResponseReturnValue:
    """Of any machine that can reach us: a token and the line."""
    return _asked(None)


@blueprint.route("/nodes/<int:number>/capture", methods=["GET", "POST"])
def node(number: int) -> ResponseReturnValue:
    """Of a registered one: also by the imager."""
    return _asked(appliance().nodes.show(f"#{number}"))


def _asked(node: Node | None) -> ResponseReturnValue:
    if request.method == "GET":
        return _page(node, Form({"way": LINE}))
    form = Form(request.form.to_dict())
    name = form.need("name", "Give the image a name.")
    way = form.value("way") or LINE
    made: list[CaptureToken] = []
    if node is None or way == LINE:
        attempt(form, lambda: made.append(_token(name, form, node)), FIELDS)
    else:
        kind = DISK if way == DISK else TREE
        attempt(form, lambda: appliance().captures.offline([node], name, kind, form.value("comment")), FIELDS)
    if not form.good:
        return _page(node, form), 422
    if made:
        return render_template("capture_line.html", node=node, made=made[0], line=line(made[0]))
    assert node is not None
    flash(f"{title(node)} is captured as {name} at its next network boot, then boots its own disk.")
    return redirect(url_for("board.machine", number=node.id))


def _token(name: str, form: Form, node: Node | None) -> CaptureToken:
    return appliance().captures.token(name, form.value("comment"), node=node)


def _page(node: Node | None, form: Form) -> str:
    ways = WAYS if node is not None and node.state is not NodeState.DISCOVERED else WAYS[:1]
    return render_template("capture.html", node=node, form=form, ways=ways)


def line(made: CaptureToken) -> str:
    """What to type on the machine."""
    url, pin = machines_url(appliance().config, own_url())
    return made.line(url, pin=pin)


def own_url() -> str:
    """Our address as a machine sees it: the one in the browser, unless it is a tunnel's end."""
    host = request.host.rsplit(":", 1)[0].strip("[]")
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    return page_url(appliance().config).rstrip("/") if here else f"http://{request.host}"
