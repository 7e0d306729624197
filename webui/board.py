"""The first page (unknown machines beside the nodes) and the page of one machine."""

from __future__ import annotations

from flask import Blueprint, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from bootsrv.model import NodeState
from webui import flight, hardware, rootforms
from webui.context import appliance, now

PAGE = 100  # nodes on one page
UNKNOWN = 50  # unknown machines shown at once
BOOTS = 8
LOG_SHOWN = 200_000  # characters
SHOWN_ELSEWHERE = ("node", "state", "image")  # lines of an explanation that the page says already

blueprint = Blueprint("board", __name__)


@blueprint.get("/")
def machines() -> ResponseReturnValue:
    query, state = request.args.get("q", "").strip()[:200], _state(request.args.get("state", ""))
    roster = appliance().roster
    number = max(1, request.args.get("page", 1, type=int))
    found = roster.page(query, state, PAGE, (number - 1) * PAGE)
    pages = max(1, -(-found.total // PAGE))
    if number > pages:
        number = pages
        found = roster.page(query, state, PAGE, (number - 1) * PAGE)
    unknown = roster.unknown(UNKNOWN)
    return render_template(
        "board.html",
        section="board.machines",
        unknown=unknown.nodes,
        held=appliance().leases.held([*unknown.nodes, *found.nodes]),
        unknown_count=unknown.total,
        nodes=found.nodes,
        total=found.total,
        page=number,
        pages=pages,
        tally=[(kind, count) for kind, count in roster.tally().items() if kind is not NodeState.DISCOVERED],
        answering=bool(appliance().config.interfaces),
        config_file=appliance().config.path,
        progress=_Meters(),
        q=query,
        state=state.value if state is not None else "",
    )


def _state(text: str) -> NodeState | None:
    """The filter a link of the page asks for; anything else shows all."""
    return next((state for state in NodeState if state == text and state is not NodeState.DISCOVERED), None)


class _Meters(dict[int, flight.Meter]):
    """Meters by node id; a node without any report yet gets the one that says so."""

    def __init__(self) -> None:
        super().__init__(
            {node: flight.meter(progress) for node, progress in appliance().watch.progress().items()}
        )

    def __missing__(self, node: int) -> flight.Meter:
        return flight.meter(None)


@blueprint.get("/nodes/<int:number>")
def machine(number: int) -> ResponseReturnValue:
    watch, at = appliance().watch, now()
    node = appliance().nodes.show(f"#{number}")
    log = watch.log(node)
    return render_template(
        "node.html",
        section="board.machines",
        node=node,
        held=appliance().leases.held([node]).get(node.id),
        rooted=rootforms.told(node, appliance().roots.room(node), appliance().exports.of(node)),
        drift=appliance().pushes.last_drift(node),
        agent=appliance().pushes.last_call(node),
        identities=[f"{kind}={value}" for kind, value in appliance().identities.of(node)],
        boots=[flight.drawn(boot, at) for boot in watch.boots(node, BOOTS)],
        progress=flight.meter(watch.progress().get(node.id)),
        step=watch.step(node),
        hardware=hardware.table(node.facts),
        log="".join(text for _, text in log)[-LOG_SHOWN:],
        log_last=log[-1][0] if log else 0,
        explained=[line for line in watch.explain(node) if line.label not in SHOWN_ELSEWHERE],
    )


@blueprint.get("/nodes/<int:number>/log")
def log(number: int) -> ResponseReturnValue:
    """What the console log gained since piece `since`: {"last": id, "text": "..."}."""
    since = request.args.get("since", 0, type=int)
    pieces = appliance().watch.log(appliance().nodes.show(f"#{number}"), since=since)
    return jsonify(
        last=pieces[-1][0] if pieces else since, text="".join(text for _, text in pieces)[-LOG_SHOWN:]
    )
