"""The nouns as JSON-ready dictionaries: what the REST API, the event stream and `--json` give. Pure.

Field names are those of the model; times are epoch seconds, sizes bytes, addresses text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import msgspec

from bootsrv.appliance.exports import Machine
from bootsrv.model import AnswerText, BootMode, Event, GroupBoot, Node, NodeState, Root
from bootsrv.registry.upkeep import Room
from bootsrv.timeline import Boot, Progress, words
from bootsrv.trees.record import TreeRecord
from images.versions import Version

if TYPE_CHECKING:
    from bootsrv.appliance.mirrors import Archive

Record = dict[str, Any]


def leased(nodes: Sequence[Node], held: Mapping[int, IPv4Address]) -> list[Record]:
    """Node records, each with the address that it holds by DHCP now (`lease`)."""
    return [node_record(node) | {"lease": str(held[node.id]) if node.id in held else None} for node in nodes]


def node_record(node: Node) -> Record:
    return {
        "id": node.id,
        "name": node.name,
        "macs": list(node.macs),
        "state": node.state.value,
        "address": str(node.address) if node.address is not None else None,
        "method": node.method.value if node.state is not NodeState.DISCOVERED else None,
        "image": node.image,
        "mode": node.boots.value,
        "diskless": _root(node.root) if node.boots is BootMode.DISKLESS else None,
        "rooted": _rooted(node),
        "armed": _armed(node),
        "groups": list(node.groups),
        "options": dict(node.options),
        "disk": node.disk,
        "layout": node.layout,
        "profile": node.answers,
        "firmware": node.firmware,
        "running": node.running,
        "error": node.error,
        "created": node.created,
        "last_seen": node.last_seen,
        "facts": dict(node.facts),
    }


def _armed(node: Node) -> Record | None:
    if node.armed is None:
        return None
    armed = node.armed
    record: Record = {"image": armed.image, "at": armed.at, "wipe": armed.wipe, "attempts": armed.attempts}
    if armed.capture is not None:
        record["capture"] = armed.capture.kind
    if armed.install is not None:
        record["install"] = {"profile": armed.install.profile, "tree": armed.install.tree}
    return record


def group_record(name: str, options: Mapping[str, Any], nodes: int, boot: GroupBoot) -> Record:
    said = boot.diskless
    return {
        "name": name, "options": dict(options), "nodes": nodes, "mode": boot.mode, "root": said.root,
        "writes": said.writes, "paths": list(said.paths or ()), "write_limit": said.limit,
        "profile": boot.profile,
    }  # fmt: skip


def room_record(room: Room) -> Record:
    return {"used": room.used, "size": room.size, "at": room.at}


def served_record(machine: Machine) -> Record:
    names = ("since", "connected", "sent", "received", "written", "limit", "hit_rate")
    return {name: getattr(machine, name) for name in names}


def _root(root: Root) -> Record:
    return {"root": root.kind, "writes": root.writes, "paths": list(root.paths), "write_limit": root.limit}


def _rooted(node: Node) -> Record | None:
    if node.rooted is None:
        return None
    return {"image": node.rooted.image, "at": node.rooted.at, **_root(node.rooted.root)}


def answer_record(version: AnswerText) -> Record:
    """Without its text."""
    return {
        "ref": version.ref, "kind": version.kind, "name": version.name, "number": version.number,
        "at": version.at, "author": version.author, "comment": version.comment,
    }  # fmt: skip


def event_record(event: Event, name: str | None = None) -> Record:
    return {
        "id": event.id,
        "at": event.at,
        "node": event.node,
        "name": name,
        "mac": event.mac,
        "boot": event.boot,
        "kind": event.kind,
        "text": words(event),
        "data": dict(event.data),
    }


def boot_record(boot: Boot) -> Record:
    return {
        "id": boot.id,
        "start": boot.start,
        "end": boot.end,
        "outcome": boot.outcome,
        "stages": [{"name": stage.name, "start": stage.start, "end": stage.end} for stage in boot.stages],
        "progress": progress_record(boot.progress),
        "events": [event_record(event) for event in boot.events],
    }


def progress_record(progress: Progress | None) -> Record | None:
    if progress is None:
        return None
    return {"done": progress.done, "total": progress.total, "rate": progress.rate, "eta": progress.eta}


def version_record(version: Version) -> Record:
    return {
        "ref": version.ref,
        "name": version.name,
        "number": version.number,
        "id": version.id,
        "kind": version.kind,
        "created": version.created,
        "comment": version.comment,
        "parent": version.parent,
        "files": version.files,
        "bytes": version.bytes,
        "stored_bytes": version.stored_bytes,
        "tags": list(version.tags),
        "meta": dict(version.meta),
    }


def tree_record(tree: TreeRecord) -> Record:
    facts: Record = msgspec.to_builtins(tree.facts)
    own: Record = msgspec.to_builtins(tree)
    del own["facts"]
    return {**own, "url_path": tree.place, **facts}


def mirror_record(archive: Archive) -> Record:
    record: Record = {
        "name": archive.name,
        "kind": "filled" if archive.filled else "cached",
        "url_path": archive.place,
        "upstreams": list(archive.upstreams),
    }
    return {**record, **msgspec.to_builtins(archive.filled)} if archive.filled else record
