"""Nodes: rows to frozen Node records and back. Uniqueness is the table's; clear sentences about it are the
verbs'."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

import msgspec

from bootsrv.model import (
    AddressMethod,
    Armed,
    BootMode,
    CaptureOrder,
    Diskless,
    GroupBoot,
    InstallOrder,
    Node,
    NodeState,
    Rooted,
)
from bootsrv.registry.connection import Database

_COLUMNS = (
    "name", "state", "address", "method", "image", "mode", "armed_image", "armed_at", "armed_wipe",
    "armed_attempts", "options", "disk", "facts", "firmware", "running", "error", "created", "last_seen",
    "half_written", "armed_capture", "layout", "diskless", "rooted", "profile", "armed_install",
)  # fmt: skip
_INSERT = f"INSERT INTO nodes ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_UPDATE = f"UPDATE nodes SET {', '.join(c + '=?' for c in _COLUMNS)} WHERE id=?"  # noqa: S608
# n9 before n10: by the stem, then by the number's length, then by the number
BY_NAME = "rtrim(nodes.name, '0123456789'), length(nodes.name), nodes.name"
_SELECT = """SELECT nodes.*,
    (SELECT group_concat(mac, ' ') FROM (SELECT mac FROM macs WHERE node=nodes.id ORDER BY place)) AS macs,
    (SELECT group_concat(name, ' ') FROM memberships WHERE node=nodes.id) AS groups,
    (SELECT group_concat(boot, char(10)) FROM (SELECT g.boot FROM memberships AS m JOIN groups AS g
        ON g.name=m.name WHERE m.node=nodes.id AND g.boot<>'' ORDER BY g.name)) AS inherited FROM nodes"""


class Nodes:
    """The node table. A Node without id (0) is new."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, node_id: int) -> Node | None:
        return self._first("WHERE nodes.id=?", node_id)

    def by_name(self, name: str) -> Node | None:
        return self._first("WHERE nodes.name=?", name.lower())

    def by_mac(self, mac: str) -> Node | None:
        return self._first("WHERE nodes.id=(SELECT node FROM macs WHERE mac=?)", mac)

    def by_address(self, address: IPv4Address) -> Node | None:
        return self._first("WHERE nodes.address=?", int(address))

    def id_of_mac(self, mac: str) -> int | None:
        """Only the id: what the flight recorder needs for every packet."""
        row = self._db.one("SELECT node FROM macs WHERE mac=?", (mac,))
        return int(row["node"]) if row is not None else None

    def hosts_revision(self) -> int:
        """Goes up whenever anything of a node changes that DHCP or the boot plan looks at."""
        row = self._db.one("SELECT value FROM counters WHERE name='hosts'")
        return int(row["value"]) if row is not None else 0

    def list(self, states: Sequence[NodeState] = (), group: str | None = None) -> Sequence[Node]:
        """Nodes in order of their names; all of them, or those in `states` and in `group`."""
        where: list[str] = []
        values: list[Any] = []
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            values += [str(state) for state in states]
        if group is not None:
            where.append("nodes.id IN (SELECT node FROM memberships WHERE name=?)")
            values.append(group)
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        rows = self._db.all(f"{_SELECT} {clause} ORDER BY nodes.name IS NULL, {BY_NAME}, nodes.id", values)
        return [_node(row) for row in rows]

    def installing(self) -> Sequence[Node]:
        """Nodes that are armed for an installation, whether it has begun, failed, or neither."""
        rows = self._db.all(f"{_SELECT} WHERE nodes.armed_install IS NOT NULL ORDER BY nodes.id")
        return [_node(row) for row in rows]

    def ids(self) -> set[int]:
        """Of all nodes."""
        return {int(row["id"]) for row in self._db.all("SELECT id FROM nodes")}

    def perhaps_diskless(self) -> Sequence[Node]:
        """Nodes that have a root from here, or may get one at their next boot: by their own word or by what a
        group says about booting. Far fewer than all where few are diskless; some of them are not."""
        clause = """WHERE nodes.id IN (
            SELECT id FROM nodes WHERE rooted IS NOT NULL
            UNION ALL SELECT id FROM nodes WHERE mode='diskless'
            UNION ALL SELECT m.node FROM groups AS g CROSS JOIN memberships AS m ON m.name=g.name
                WHERE g.boot<>'') ORDER BY nodes.id"""  # each by its own index: no row is looked at in vain
        return [_node(row) for row in self._db.all(f"{_SELECT} {clause}")]

    def names(self) -> Iterable[tuple[str, IPv4Address | None]]:
        """(name, address) of every registered node; light enough for 100,000 of them."""
        everything = f"SELECT name, address FROM nodes WHERE name IS NOT NULL ORDER BY {BY_NAME}"  # noqa: S608
        for row in self._db.all(everything):
            yield row["name"], _address(row["address"])

    def count(self) -> Mapping[str, int]:
        """How many nodes are in each state."""
        return {row[0]: row[1] for row in self._db.all("SELECT state, count(*) FROM nodes GROUP BY state")}

    def groups(self) -> Sequence[str]:
        return [row[0] for row in self._db.all("SELECT DISTINCT name FROM memberships ORDER BY name")]

    def group_sizes(self) -> dict[str, int]:
        """How many nodes each group has."""
        return {
            row[0]: row[1] for row in self._db.all("SELECT name, count(*) FROM memberships GROUP BY name")
        }

    def all_group_options(self) -> dict[str, dict[str, Any]]:
        """The options of every group that has some."""
        return {
            row[0]: msgspec.json.decode(row[1]) for row in self._db.all("SELECT name, options FROM groups")
        }

    def group_options(self, names: Sequence[str]) -> dict[str, Any]:
        """DHCP options of these groups, merged in the groups' order."""
        merged: dict[str, Any] = {}
        for name in names:
            row = self._db.one("SELECT options FROM groups WHERE name=?", (name,))
            if row is not None:
                merged.update(msgspec.json.decode(row["options"]))
        return merged

    def set_group_options(self, name: str, options: Mapping[str, Any]) -> None:
        self._db.run(
            "INSERT INTO groups (name, options) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET options=excluded.options",
            (name, msgspec.json.encode(dict(options)).decode()),
        )

    def group_boot(self, name: str) -> GroupBoot:
        """How the nodes of a group boot, as far as the group says it."""
        row = self._db.one("SELECT boot FROM groups WHERE name=?", (name,))
        return _group_boot(row["boot"]) if row is not None else GroupBoot()

    def groups_boot(self, names: Sequence[str]) -> GroupBoot:
        """What these groups together say. Of groups that contradict each other the last by name counts, as
        with their options."""
        merged = GroupBoot()
        for name in sorted(names):
            merged = self.group_boot(name).over(merged)
        return merged

    def set_group_boot(self, name: str, boot: GroupBoot) -> None:
        self._db.run(
            "INSERT INTO groups (name, options, boot) VALUES (?, '{}', ?)"
            " ON CONFLICT (name) DO UPDATE SET boot=excluded.boot",
            (name, msgspec.json.encode(boot).decode() if boot != GroupBoot() else ""),
        )

    def save(self, node: Node) -> Node:
        """Insert (id 0) or update; returns it as stored. Call inside a transaction when it depends on a
        read."""
        with self._db.transaction():
            if node.id:
                self._db.run(_UPDATE, (*_values(node), node.id))
                node_id = node.id
            else:
                node_id = int(self._db.run(_INSERT, _values(node)).lastrowid or 0)
            self._save_lists(node_id, node)
            stored = self.get(node_id)
        if stored is None:
            raise RuntimeError(f"node {node_id} vanished inside its own transaction")
        return stored

    def _save_lists(self, node_id: int, node: Node) -> None:
        before = self.get(node_id)
        if before is None or before.macs != node.macs:
            self._db.run("DELETE FROM macs WHERE node=?", (node_id,))
            for place, mac in enumerate(node.macs):
                self._db.run("INSERT INTO macs VALUES (?, ?, ?)", (mac, node_id, place))
        if before is None or set(before.groups) != set(node.groups):
            self._db.run("DELETE FROM memberships WHERE node=?", (node_id,))
            for group in sorted(set(node.groups)):
                self._db.run("INSERT INTO memberships VALUES (?, ?)", (group, node_id))

    def touch(self, node_id: int, now: float) -> None:
        """Remember that the machine was heard of; written at most every ten seconds."""
        self._db.run(
            "UPDATE nodes SET last_seen=? WHERE id=? AND coalesce(last_seen, 0) < ?", (now, node_id, now - 10)
        )

    def seen_as(self, node_id: int, firmware: str, now: float) -> None:
        """Remember what kind of firmware the machine has, and that it was heard of."""
        self._db.run("UPDATE nodes SET firmware=?, last_seen=? WHERE id=?", (firmware, now, node_id))

    def remove(self, node_id: int) -> None:
        self._db.run("DELETE FROM nodes WHERE id=?", (node_id,))

    def forget_unknown(self, keep: int) -> None:
        """Of the machines nobody registered, keep those that were seen last."""
        self._db.run(
            "DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE state='discovered'"
            " ORDER BY last_seen DESC LIMIT -1 OFFSET ?)",
            (keep,),
        )

    def _first(self, clause: str, value: Any) -> Node | None:
        row = self._db.one(f"{_SELECT} {clause}", (value,))
        return _node(row) if row is not None else None


def _values(node: Node) -> tuple[Any, ...]:
    armed = node.armed
    return (
        node.name.lower() if node.name else None, str(node.state),
        int(node.address) if node.address is not None else None, str(node.method), node.image,
        node.mode or "",
        armed.image if armed else None, armed.at if armed else None, armed.wipe if armed else None,
        armed.attempts if armed else None, msgspec.json.encode(dict(node.options)).decode(), node.disk,
        msgspec.json.encode(dict(node.facts)).decode(), node.firmware, node.running, node.error, node.created,
        node.last_seen, node.half_written,
        msgspec.json.encode(armed.capture).decode() if armed and armed.capture else None,
        node.layout,
        msgspec.json.encode(node.diskless).decode() if node.diskless != Diskless() else None,
        msgspec.json.encode(node.rooted).decode() if node.rooted is not None else None,
        node.profile,
        msgspec.json.encode(armed.install).decode() if armed and armed.install else None,
    )  # fmt: skip


def _node(row: sqlite3.Row) -> Node:
    armed = None
    if row["armed_image"] is not None:
        order, install = row["armed_capture"], row["armed_install"]
        armed = Armed(
            row["armed_image"], row["armed_at"], bool(row["armed_wipe"]), row["armed_attempts"],
            msgspec.json.decode(order, type=CaptureOrder) if order else None,
            msgspec.json.decode(install, type=InstallOrder) if install else None,
        )  # fmt: skip
    return Node(
        id=row["id"],
        name=row["name"],
        macs=tuple((row["macs"] or "").split()),
        state=NodeState(row["state"]),
        address=_address(row["address"]),
        method=AddressMethod(row["method"]),
        image=row["image"],
        mode=BootMode(row["mode"]) if row["mode"] else None,
        armed=armed,
        groups=tuple(sorted((row["groups"] or "").split())),
        options=msgspec.json.decode(row["options"]),
        disk=row["disk"],
        facts=msgspec.json.decode(row["facts"]),
        firmware=row["firmware"],
        running=row["running"],
        error=row["error"],
        created=row["created"],
        last_seen=row["last_seen"],
        half_written=bool(row["half_written"]),
        layout=row["layout"],
        diskless=msgspec.json.decode(row["diskless"], type=Diskless) if row["diskless"] else Diskless(),
        inherited=_inherited(row["inherited"]),
        rooted=msgspec.json.decode(row["rooted"], type=Rooted) if row["rooted"] else None,
        profile=row["profile"],
    )


def _inherited(lines: str | None) -> GroupBoot:
    """The same as `Nodes.groups_boot`, of a row's lines."""
    merged = GroupBoot()
    for line in (lines or "").split("\n"):
        merged = _group_boot(line).over(merged)
    return merged


def _group_boot(text: str) -> GroupBoot:
    return msgspec.json.decode(text, type=GroupBoot) if text else GroupBoot()


def _address(value: int | None) -> IPv4Address | None:
    return IPv4Address(value) if value is not None else None
