"""How a node boots, as the page offers and shows it. Pure."""

from __future__ import annotations

from bootsrv.appliance.exports import Machine
from bootsrv.appliance.nodes import Wanted
from bootsrv.model import BootMode, Node, RootKind, Writes
from bootsrv.registry.upkeep import Room
from webui.forms import Form
from webui.show import size

Choices = list[tuple[str, str]]
FIELDS = ("mode", "root", "writes", "paths", "write_limit")

MODES = {
    BootMode.LOCAL: "Its own disk",
    BootMode.DISKLESS: "Diskless: its image as root, no disk is touched",
    BootMode.DISCOVER: "The imager, which waits",
}
ROOTS = {
    RootKind.RAM: "In memory: fetched whole, then it does without the server",
    RootKind.NFS: "Over NFS",
    RootKind.NBD: "Over NBD, a network block device",
}
WRITES = {
    Writes.DISCARD: "Gone with the next boot",
    Writes.COMPRESS: "Gone with the next boot, compressed until then",
    Writes.KEEP: "Kept on the server",
    Writes.PATHS: "Kept below some paths only",
}


def choices(node: Node) -> dict[str, Choices]:
    """What the three selections offer; the first says what holds where the node says nothing itself."""
    inherited = node.inherited
    mode, said = inherited.mode or BootMode.LOCAL, inherited.diskless
    root, writes = said.root or RootKind.RAM, said.writes or Writes.DISCARD
    return {
        "mode_choices": [("", f"As its groups say ({mode})"), *((str(k), v) for k, v in MODES.items())],
        "root_choices": [("", f"As its groups say ({root})"), *((str(k), v) for k, v in ROOTS.items())],
        "writes_choices": [("", f"As its groups say ({writes})"), *((str(k), v) for k, v in WRITES.items())],
    }


def values(node: Node) -> dict[str, str]:
    """The node's own words, as the form holds them."""
    own = node.diskless
    return {
        "mode": node.mode or "",
        "root": own.root or "",
        "writes": own.writes or "",
        "paths": " ".join(own.paths or ()),
        "write_limit": _limit(own.limit),
    }


def wanted(form: Form) -> tuple[Wanted, list[str]]:
    """What was typed, and the fields that were emptied, by the names that the verbs clear them by."""
    emptied = [name.replace("_", "-") for name in FIELDS if form.given(name) is None]
    paths = form.value("paths").replace(",", " ").split()
    asked = Wanted(
        mode=form.given("mode"), root=form.given("root"), writes=form.given("writes"),
        paths=paths or None, write_limit=form.given("write_limit"),
    )  # fmt: skip
    return asked, emptied


def told(node: Node, room: Room | None, machine: Machine | None) -> list[str]:
    """Lines for the node's own page; none for one that boots from its disk and always did. `room`: how full
    its write layer was."""
    lines = []
    if node.boots is BootMode.DISKLESS:
        lines.append(_how(str(node.root.kind), node.root.writes, node.root.paths, node.root.limit))
    if node.rooted is not None:
        root = node.rooted.root
        now = f"{node.rooted.image}: {_how(str(root.kind), root.writes, root.paths, root.limit)}"
        if not lines or node.rooted.root != node.root:
            lines.append(f"Now {now}")
        else:
            lines[0] = now
    if room is not None:
        lines.append(f"Has written {size(room.used)} of {size(room.size)}")
    if machine is not None and machine.sent is not None:
        share = f", {machine.hit_rate:.0%} from the cache" if machine.hit_rate is not None else ""
        gone = "; not connected" if machine.connected is False else ""
        lines.append(f"Was sent {size(machine.sent)}{share}{gone}")
    return lines


def _how(kind: str, writes: Writes, paths: tuple[str, ...], limit: int | None) -> str:
    kept = {
        Writes.DISCARD: "nothing is kept",
        Writes.COMPRESS: "nothing is kept, writes are compressed",
        Writes.KEEP: "all is kept",
        Writes.PATHS: f"keeps {', '.join(paths)}",
    }[writes]
    room = f", at most {size(limit)}" if limit else ""
    return f"{'in memory' if kind == 'ram' else f'over {kind.upper()}'}, {kept}{room}"


def _limit(limit: int | None) -> str:
    """The way it is typed: 2G, 512M."""
    for unit, shift in (("G", 30), ("M", 20), ("K", 10)):
        if limit and limit % (1 << shift) == 0:
            return f"{limit >> shift}{unit}"
    return str(limit or "")
