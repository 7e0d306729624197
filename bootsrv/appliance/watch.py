"""The verbs that only look: what a node would boot and why, how its boots went, what is happening now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bootsrv import bootplan, diagnosis, ownfile, timeline
from bootsrv.config import Config
from bootsrv.model import Event, Node, NodeState
from bootsrv.registry.registry import Registry
from images.sizes import human


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation."""

    label: str
    text: str


class Watch:
    """Verbs that look."""

    def __init__(self, config: Config, registry: Registry, clock: Callable[[], float]) -> None:
        self._config, self._registry, self._clock = config, registry, clock

    def plan(self, node: Node | None) -> bootplan.BootPlan:
        """What the node would boot if it asked now."""
        return bootplan.decide(node, self._config.nodes.discover)

    def explain(self, node: Node) -> list[Line]:
        """Why the node boots what it boots, and gets the address it gets."""
        plan = self.plan(node)
        lines = [Line("node", f"{node.name or 'not registered'} ({', '.join(node.macs) or 'no MAC yet'})")]
        lines.append(Line("state", f"{node.state}" + (f": {node.error}" if node.error else "")))
        lines += [Line("disk", text) for text in _disk(node)]
        options = {**self._registry.nodes.group_options(node.groups), **node.options}
        text = f"{plan.action}{f' to {plan.purpose}' if plan.purpose else ''}: {plan.reason}"
        if (own := ownfile.own_file(plan, options)) is not None:
            after = f"; its GRUB is led to the {text}" if plan.action is bootplan.Action.INSTALLER else ""
            text = f"{own}: {ownfile.REASON}{after}"
        lines.append(Line("boots", text))
        for events in self._registry.events.boots(node.id, 1):
            if (found := diagnosis.trouble(events, self._clock())) is not None:
                lines.append(Line("trouble", found))
        lines.append(Line("address", self._address(node)))
        if node.image:
            lines.append(Line("image", node.image + (f", runs {node.running}" if node.running else "")))
        lines += [Line("option", f"{name} = {value}") for name, value in sorted(options.items())]
        if not self._config.interfaces:
            lines.append(Line("note", "no interface is listed in the configuration, so nobody is answered"))
        return lines

    def _address(self, node: Node) -> str:
        subnet = self._config.subnet_of(node.address) if node.address is not None else None
        leased = next(
            (a for mac in node.macs if (a := self._registry.leases.of_mac(mac, self._clock()))), None
        )
        held = f", holds a lease on {leased}" if leased is not None and leased != node.address else ""
        if node.address is None:
            how = "from a pool" if node.state is NodeState.DISCOVERED else f"{node.method}: from a pool"
            return f"{how}{held}"
        where = f" in {subnet.cidr} ({subnet.mode})" if subnet is not None else ", in no configured subnet"
        return f"{node.address}, {node.method}{where}{held}"

    def boots(self, node: Node, limit: int = 10) -> list[timeline.Boot]:
        """The node's newest boots, newest first."""
        found = self._registry.events.boots(node.id, limit)
        return [timeline.build(events, superseded=place > 0) for place, events in enumerate(found)]

    def progress(self) -> Mapping[int, timeline.Progress]:
        """How far each node that is being imaged is, by node id."""
        found = {
            node: timeline.read_progress(event.data)
            for node, event in self._registry.events.progress().items()
        }
        return {node: progress for node, progress in found.items() if progress is not None}

    def step(self, node: Node) -> str:
        """What a node's installer is at, in a word or two; "" where none is at work."""
        if node.armed is None or node.armed.install is None:
            return ""
        steps = [one.text for one in self.latest(200, node) if one.kind == "install.step"]
        return steps[-1] if steps else ""

    def log(self, node: Node, boot: int | None = None, since: int = 0) -> list[tuple[int, str]]:
        """(id, text) pieces of the imager's console log, oldest first."""
        return self._registry.events.log_of(node.id, boot, since)

    def events(self, since: int = 0, limit: int = 500, node: Node | None = None) -> list[Event]:
        """Events newer than id `since`, oldest first."""
        return self._registry.events.since(since, limit, node.id if node is not None else None)

    def latest(self, limit: int = 100, node: Node | None = None) -> list[Event]:
        """The newest events, oldest of them first."""
        return self._registry.events.latest(node.id if node is not None else None, limit)

    def last_event(self) -> int:
        """The id of the newest event, to follow from."""
        return self._registry.events.last_id()

    def follow(self, since: int, sleep: Callable[[float], None], pause: float = 0.2) -> Iterator[list[Event]]:
        """For ever: what is new after id `since`, an empty list every second or so in which nothing is."""
        seen: tuple[int, int] | None = None
        quiet = 0.0
        while True:
            changes = self._registry.changes()
            fresh = self.events(since) if changes != seen else []
            seen = changes if len(fresh) < 500 else None
            if fresh:
                since, quiet = fresh[-1].id, 0.0
                yield fresh
                continue
            if quiet >= 1.0:
                quiet = 0.0
                yield []
            sleep(pause)
            quiet += pause


def _disk(node: Node) -> list[str]:
    """Which of several disks is imaged, and how a BIOS comes to boot that one."""
    rows = node.facts.get("disks")
    disks = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    fixed = [row for row in disks if not row.get("removable") and row.get("transport") != "usb"]
    if len(fixed) < 2 and node.disk is None:
        return []
    which = node.disk or "the smallest disk that the image fits on"
    sizes = [size if isinstance(size := row.get("size"), int) else 0 for row in disks]
    has = ", ".join(f"{row.get('path')} ({human(size)})" for row, size in zip(disks, sizes, strict=True))
    text = f"imaging writes {which}" + (f"; the machine has {has}" if has else "")
    if node.firmware == "bios" and len(fixed) > 1:
        text += ". A BIOS boots its own first hard disk: make it the same, or name it as this node's disk"
    return [text]
