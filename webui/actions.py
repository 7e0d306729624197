"""What is done to registered nodes: reimage, retry, take an arming back, edit, remove. Every one asks first.

The question is a page of its own (a dialog with script), so that nothing dangerous is one click away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bootsrv.appliance.identities import read
from bootsrv.appliance.nodes import Wanted
from bootsrv.errors import NotFound
from bootsrv.model import AddressMethod, Node, NodeState
from webui import hardware, rootforms
from webui.context import appliance
from webui.forms import Form
from webui.register import attempt, offers
from webui.show import plural, title

blueprint = Blueprint("actions", __name__)


def _node(number: int) -> Node:
    return appliance().nodes.show(f"#{number}")


def chosen(numbers: Sequence[str]) -> list[Node]:
    """The nodes ticked on the board; those that went away meanwhile are left out."""
    found = []
    for number in dict.fromkeys(numbers):
        if number.isascii() and number.isdigit():
            try:
                found.append(_node(int(number)))
            except NotFound:
                continue
    return [node for node in found if node.state is not NodeState.DISCOVERED]


@blueprint.route("/nodes/reimage", methods=["GET", "POST"])
def reimage() -> ResponseReturnValue:
    nodes = chosen(request.values.getlist("id"))
    if not nodes:
        return nobody_chosen("reimage")
    if request.method == "GET":
        return _reimage_page(nodes, Form({"image": (nodes[0].image or "") if len(nodes) == 1 else ""}))
    form = Form(request.form.to_dict())
    wipe = form.value("slate") == "clean"
    attempt(form, lambda: appliance().deploys.reimage(nodes, form.given("image"), wipe), ("image",))
    if not form.good:
        return _reimage_page(nodes, form), 422
    return told_armed(nodes, "images")


def nobody_chosen(verb: str) -> ResponseReturnValue:
    """The answer where no node was ticked, or none of them is there any more."""
    if request.method == "POST":
        abort(404, "None of these nodes is there any more.")
    flash(f"Tick the nodes to {verb} first.")
    return redirect(url_for("board.machines"))


def told_armed(nodes: Sequence[Node], does: str) -> ResponseReturnValue:
    """Back to the node, or to the list, with what the next boot does."""
    if len(nodes) == 1:
        flash(f"{title(nodes[0])} is armed: its next network boot {does} it, once.")
        return redirect(url_for("board.machine", number=nodes[0].id))
    flash(f"{plural(len(nodes), 'node')} armed: their next network boot {does} them, once.")
    return redirect(url_for("board.machines"))


def _reimage_page(nodes: list[Node], form: Form) -> str:
    nothing = "Each node's own image"
    if len(nodes) == 1:
        nothing = f"Its own image ({nodes[0].image})" if nodes[0].image else "Choose an image"
    slates = [("", "Use what is there, fetch the rest"), ("clean", "Discard everything first, kept data too")]
    return render_template("reimage.html", nodes=nodes, form=form, slates=slates, **offers(form, nothing))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something is done to one node, and what is said after."""

    heading: str
    lead: str
    button: str
    done: str
    tone: str = "main"


@blueprint.route("/nodes/<int:number>/retry", methods=["GET", "POST"])
def retry(number: int) -> ResponseReturnValue:
    node = _node(number)
    image = node.armed.image if node.armed else node.image
    question = Question(
        heading=f"Retry {title(node)}",
        lead=f"It is captured as {image}."
        if node.armed and node.armed.capture
        else f"It is installed again from the start: {node.armed.what}. Restart the machine to begin."
        if node.armed and node.armed.install
        else f"Its disk is written again from the start with {image}."
        " If the machine waits in the imager, it begins now.",
        button="Retry",
        done=f"{title(node)} tries again.",
    )
    return _confirmed(node, question, lambda: appliance().deploys.retry([node]))


@blueprint.route("/nodes/<int:number>/cancel", methods=["GET", "POST"])
def cancel(number: int) -> ResponseReturnValue:
    node = _node(number)
    question = Question(
        heading=f"Leave {title(node)} as it is",
        lead="The arming is taken back: its next boot is from its own disk, which has not been touched.",
        button="Take it back",
        done=f"{title(node)} is not armed any more.",
    )
    return _confirmed(node, question, lambda: appliance().deploys.cancel([node]))


@blueprint.route("/nodes/<int:number>/remove", methods=["GET", "POST"])
def remove(number: int) -> ResponseReturnValue:
    node = _node(number)
    question = Question(
        heading=f"Remove {title(node)}",
        lead="Its registration is forgotten; its disk is not touched."
        " If it boots from the network again, it shows up as unknown.",
        button="Remove",
        done=f"{title(node)} was removed.",
        tone="danger",
    )
    return _confirmed(
        node, question, lambda: appliance().nodes.remove(f"#{number}"), url_for("board.machines")
    )


def _confirmed(
    node: Node, question: Question, verb: Callable[[], object], then: str | None = None
) -> ResponseReturnValue:
    form = Form()
    if request.method == "POST":
        attempt(form, verb, ())
        if form.good:
            flash(question.done)
            return redirect(then or url_for("board.machine", number=node.id))
    page = render_template("confirm.html", section="board.machines", node=node, form=form, question=question)
    return page, 200 if form.good else 422


@blueprint.route("/nodes/<int:number>/edit", methods=["GET", "POST"])
def edit(number: int) -> ResponseReturnValue:
    node = _node(number)
    if request.method == "GET":
        return _edit_page(node, _as_form(node))
    form = Form(request.form.to_dict())
    form.need("name", "Give it a name.")
    if form.value("method") in (AddressMethod.RESERVED, AddressMethod.STATIC):
        form.need("address", "This method needs an address.")
    named = ("name", "mac", "identities", "address", "image", "disk", "profile", "groups")
    fields = (*named, *rootforms.FIELDS)
    attempt(form, lambda: _save(number, form), fields)
    if not form.good:
        return _edit_page(node, form), 422
    flash("Saved.")
    return redirect(url_for("board.machine", number=number))


def _as_form(node: Node) -> Form:
    return Form(
        {
            "name": node.name or "",
            "mac": " ".join(node.macs),
            "identities": known_by(node),
            "address": str(node.address or ""),
            "method": node.method.value,
            "image": node.image or "",
            "disk": node.disk or "",
            "profile": node.profile or "",
            "groups": " ".join(node.groups),
            **rootforms.values(node),
        }
    )


def _save(number: int, form: Form) -> None:
    known = [part.strip() for part in form.value("identities").split(",") if part.strip()]
    with appliance().registry.transaction():
        node = appliance().nodes.set(f"#{number}", _edited(form))
        if ", ".join(known) != known_by(node):
            appliance().identities.set(node, [read(text) for text in known], replace=True)


def known_by(node: Node) -> str:
    """A node's identities as they are typed."""
    return ", ".join(f"{kind}={value}" for kind, value in appliance().identities.of(node))


def _edited(form: Form) -> Wanted:
    """An emptied field takes the value away; the verbs' None would leave it as it is."""
    address = None if form.value("method") == AddressMethod.DYNAMIC else form.given("address")
    kept = {"address": address, "image": form.given("image"), "disk": form.given("disk")}
    kept["profile"] = form.given("profile")
    boot, emptied = rootforms.wanted(form)
    return replace(
        boot,
        name=form.given("name"),
        macs=form.value("mac").replace(",", " ").split(),
        address=address,
        method=form.given("method"),
        image=kept["image"],
        disk=kept["disk"],
        profile=kept["profile"],
        groups=form.value("groups").replace(",", " ").split(),
        clear=[*(key for key, value in kept.items() if value is None), *emptied],
    )


def _edit_page(node: Node, form: Form) -> str:
    disks = [("", "The smallest that the image fits on"), *hardware.disk_choices(node.facts)]
    if node.disk and node.disk not in dict(disks):
        disks.append((node.disk, f"{node.disk} (not reported by the machine)"))
    inherited = node.inherited.profile
    nothing = f"That of its groups ({inherited})" if inherited else "None"
    profiles = [("", nothing), *((name, name) for name in appliance().profiles.profiles())]
    offered = {**offers(form, "No image"), **rootforms.choices(node)}
    return render_template(
        "edit.html", node=node, form=form, disk_choices=disks, profile_choices=profiles, **offered
    )
