"""Registering: adopt an unknown machine, add a node, add a range. Forms that also work without script.

A good form answers with a redirect, a bad one with the same form, every text kept, and status 422.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bootsrv.appliance.nodes import Wanted
from bootsrv.errors import BootsrvError
from bootsrv.model import AddressMethod, Node, NodeState
from webui import choices
from webui.context import appliance
from webui.forms import Form
from webui.show import plural, title

NO_IMAGE = "No image yet: register only"

blueprint = Blueprint("register", __name__)


def blank() -> Form:
    """What a fresh form holds: a reserved address, the next free one, when there is a network for it."""
    address = choices.suggested(appliance())
    method = AddressMethod.RESERVED if address else AddressMethod.DYNAMIC
    return Form({"address": address, "method": method.value, "image": appliance().config.nodes.image or ""})


def offers(form: Form, nothing: str = NO_IMAGE) -> dict[str, object]:
    """What every node form's template needs."""
    versions, _ = appliance().images.readable()  # the images page says what is damaged
    return {
        "section": "board.machines",
        "image_choices": choices.image_choices(versions, nothing, form.given("image")),
        "address_hint": choices.address_hint(appliance()),
        "suggested": choices.suggested(appliance()),
    }


def wanted(form: Form) -> Wanted:
    """The common fields as the verbs take them. `dynamic` drops the address: it is the pool's to choose."""
    dynamic = form.value("method") == AddressMethod.DYNAMIC
    return Wanted(
        name=form.given("name"),
        macs=form.value("mac").replace(",", " ").split() or None,
        address=None if dynamic else form.given("address"),
        method=form.given("method"),
        image=form.given("image"),
    )


def attempt(form: Form, verb: Callable[[], object], fields: tuple[str, ...]) -> None:
    """Runs a verb if the form is good so far; its error goes beside its field."""
    if not form.good:
        return
    try:
        verb()
    except BootsrvError as error:
        if error.http_status >= 500:
            raise
        form.blame(error, fields)


def _needs_address(form: Form) -> None:
    if form.value("method") in (AddressMethod.RESERVED, AddressMethod.STATIC):
        form.need("address", "This method needs an address.")


def _seen(number: int) -> Node:
    return appliance().nodes.show(f"#{number}")


@blueprint.route("/nodes/<int:number>/adopt", methods=["GET", "POST"])
def adopt(number: int) -> ResponseReturnValue:
    node = _seen(number)
    if node.state is not NodeState.DISCOVERED:
        flash(f"{title(node)} is registered already.")
        return redirect(url_for("board.machine", number=number))
    free = appliance().roster.waiting()
    if request.method == "GET":
        return _adopt_page(node, _adopt_blank(free), free)
    form = Form(request.form.to_dict())
    form.need("name", "Give it a name.")
    if form.value("name").lower() not in {other.name for other in free if other.address is not None}:
        _needs_address(form)
    attempt(form, lambda: appliance().nodes.adopt(f"#{number}", wanted(form)), ("name", "address", "image"))
    if not form.good:
        return _adopt_page(node, form, free), 422
    registered = appliance().nodes.show(form.value("name"))
    flash(_next_step(registered))
    return redirect(url_for("board.machines"))


def _adopt_blank(free: Sequence[Node]) -> Form:
    """The next name that waits for a machine, with what was registered for it; else an empty name."""
    form = blank()
    if free:
        node = free[0]
        form.values.update(name=node.name or "", method=node.method.value, address=str(node.address or ""))
        form.values["image"] = node.image or form.value("image")
    return form


def _adopt_page(node: Node, form: Form, free: Sequence[Node]) -> str:
    names = [other.name for other in free]
    return render_template("adopt.html", node=node, form=form, waiting=names, **offers(form))


def _next_step(node: Node) -> str:
    if node.armed is None:
        return f"{node.name} is registered. Give it an image when you want it imaged."
    image = node.armed.image
    return f"{node.name} is registered and gets {image}. If it waits in the imager, it begins now."


@blueprint.route("/nodes/add", methods=["GET", "POST"])
def add() -> ResponseReturnValue:
    if request.method == "GET":
        form = blank()
        return render_template("add.html", form=form, **offers(form))
    form = Form(request.form.to_dict())
    form.need("name", "Give it a name.")
    form.need("mac", "Which machine is it? Its MAC address is usually on a label.")
    _needs_address(form)
    attempt(form, lambda: appliance().nodes.add(wanted(form)), ("name", "mac", "address", "image"))
    if not form.good:
        return render_template("add.html", form=form, **offers(form)), 422
    flash(f"{form.value('name').lower()} is registered.")
    return redirect(url_for("board.machines"))


@blueprint.route("/nodes/range", methods=["GET", "POST"])
def span() -> ResponseReturnValue:
    if request.method == "GET":
        form = blank()
        return render_template("range.html", form=form, **offers(form))
    form = Form(request.form.to_dict())
    form.need("base", "What do the names begin with?")
    for name in ("first", "last"):
        if not (form.value(name).isascii() and form.value(name).isdigit()):
            form.refuse(name, "A number, please.")
    if form.good and int(form.value("last")) < int(form.value("first")):
        form.refuse("last", f"The range runs backwards: type {form.value('first')} or a larger number.")
    _needs_address(form)
    made: list[Node] = []
    attempt(form, lambda: made.extend(_add_range(form)), ("base", "last", "address", "image", "mac"))
    if not form.good:
        return render_template("range.html", form=form, **offers(form)), 422
    flash(f"{plural(len(made), 'node')} registered: {made[0].name} to {made[-1].name}.")
    return redirect(url_for("board.machines"))


def _add_range(form: Form) -> list[Node]:
    asked = wanted(form)
    return list(
        appliance().nodes.add_range(
            form.value("base"),
            form.value("first"),
            form.value("last"),
            str(asked.address) if asked.address else None,
            Wanted(macs=asked.macs, method=asked.method, image=asked.image),
        )
    )
