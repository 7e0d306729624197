"""The verbs on exports: which version diskless machines have as their root, how, and who has it now.

What is exported follows the registry by itself (`nfsroot.keeper`, `exports`); here it is only looked at.
Machines of a root in memory are listed as well: the server hands it out at their boot and is not needed
afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.diskless import nbdstate, netroots
from bootsrv.diskless.gate import LIMIT
from bootsrv.diskless.shares import in_use
from bootsrv.errors import NotFound
from bootsrv.model import Node, RootKind
from bootsrv.nfsroot import status
from bootsrv.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Machine:
    """One node and its root. `since`: its boot with it (epoch seconds), None: from its next boot on. Bytes
    are counted since the exporter began, of a root in memory since its boot; `written` of `limit` is what its
    own directory holds. None: not known."""

    node: int
    name: str
    address: str | None
    since: float | None
    connected: bool | None = None
    sent: int | None = None
    received: int | None = None
    written: int | None = None
    limit: int | None = None
    hit_rate: float | None = None  # of what it read, the share that was in the server's cache


@dataclass(frozen=True, slots=True)
class Exported:
    """One version in one kind. `state`: "ready", or what it waits for; `path`: what NFS clients mount;
    `bytes`: of disk that it takes here; `sent` and `hit_rate`: since the exporter began, machines that left
    included; `left_out`: what a root of this kind cannot carry of the version."""

    image: str
    kind: RootKind
    state: str
    server: str = ""
    path: str | None = None
    bytes: int | None = None
    sent: int | None = None
    hit_rate: float | None = None
    left_out: tuple[str, ...] = ()
    machines: tuple[Machine, ...] = ()

    @property
    def users(self) -> int:
        """Machines that have it as their root now."""
        return sum(machine.since is not None for machine in self.machines)


class Exports:
    """Looks only. Raises OSError."""

    def __init__(self, config: Config, registry: Registry, images: Images) -> None:
        self._config, self._registry, self._images = config, registry, images

    def list(self) -> Sequence[Exported]:
        """By image and kind."""
        used = in_use(self._registry.nodes.list(), self._images)
        nfs, nbd = status.read(self._config), nbdstate.exports(self._config)
        return [
            self._nfs(ref, nodes, nfs)
            if kind is RootKind.NFS
            else self._nbd(ref, nodes, nbd)
            if kind is RootKind.NBD
            else self._ram(ref, nodes)
            for (ref, kind), nodes in sorted(used.items())
        ]

    def _told(self, ref: str, kind: RootKind) -> netroots.Told:
        """Of its kernel and first RAM disk, without which no exporter is of use."""
        try:
            return netroots.told(self._config, self._images.resolve(ref), kind)
        except NotFound:
            return netroots.Told("this version is gone")

    def _ram(self, ref: str, nodes: Sequence[Node]) -> Exported:
        told, machines = self._told(ref, RootKind.RAM), tuple(self._ram_machine(node, ref) for node in nodes)
        return Exported(
            ref, RootKind.RAM, told.state or "ready", bytes=told.bytes, sent=_sent(machines),
            left_out=told.left_out, machines=machines,
        )  # fmt: skip

    def of(self, node: Node) -> Machine | None:
        """One node and the root it has now; None for one that was not booted diskless."""
        if node.rooted is None:
            return None
        ref, kind = node.rooted.image, node.rooted.root.kind
        if kind is RootKind.NFS:
            return _nfs_machine(node, ref, status.read(self._config))
        if kind is RootKind.NBD:
            return _nbd_machine(node, ref, nbdstate.exports(self._config))
        return self._ram_machine(node, ref)

    def show(self, ref: str) -> Sequence[Exported]:
        """All kinds of one version. Raises NotFound."""
        wanted = self._images.resolve(ref).ref
        found = [one for one in self.list() if one.image == wanted]
        if not found:
            raise NotFound(f"no diskless node has {wanted}: `bootsrv export list` shows what is exported")
        return found

    def _nbd(self, ref: str, nodes: Sequence[Node], nbd: nbdstate.State) -> Exported:
        served, told = nbd.versions.get(ref), self._told(ref, RootKind.NBD)
        state = (told.state or "ready") if self._config.nbd.enabled else "[nbd] is switched off"
        return Exported(
            ref, RootKind.NBD, state, "bootsrv", ref, served.cached if served else None,
            served.read if served else None, served.hit_rate if served else None, told.left_out,
            tuple(_nbd_machine(node, ref, nbd) for node in nodes),
        )  # fmt: skip

    def _nfs(self, ref: str, nodes: Sequence[Node], nfs: status.Status) -> Exported:
        root, told = (
            next((root for root in nfs.roots if root.image == ref), None),
            self._told(ref, RootKind.NFS),
        )
        if not self._config.nfs.enabled:
            state = "[nfs] is switched off"
        elif nfs.error:
            state = nfs.error
        else:
            waits = "ready" if root is not None else "waits for the service"
            state = nfs.state.get(ref) or told.state or waits
        server = " ".join([nfs.backend, *(f"v{version}" for version in nfs.versions)]) if nfs.backend else ""
        machines = tuple(_nfs_machine(node, ref, nfs) for node in nodes)
        return Exported(
            ref, RootKind.NFS, state, server, root.path if root else None, root.bytes if root else None,
            _sent(machines), None, told.left_out, machines,
        )  # fmt: skip


    def _ram_machine(self, node: Node, ref: str) -> Machine:
        """What it was sent is what it told when its root was ready."""
        plain = _machine(node, ref, RootKind.RAM)
        if plain.since is None:
            return plain
        done = self._registry.events.newest(node.id, "root.done", plain.since)
        told = done.data.get("received") if done is not None else None
        return replace(plain, sent=told if isinstance(told, int) and told >= 0 else None)


def _sent(machines: Sequence[Machine]) -> int | None:
    known = [machine.sent for machine in machines if machine.sent is not None]
    return sum(known) if known else None


def _machine(node: Node, ref: str, kind: RootKind) -> Machine:
    here = node.rooted is not None and (node.rooted.image, node.rooted.root.kind) == (ref, kind)
    address = str(node.address) if node.address is not None else None
    since = node.rooted.at if here and node.rooted is not None else None
    return Machine(node.id, node.name or f"#{node.id}", address, since)


def _nbd_machine(node: Node, ref: str, nbd: nbdstate.State) -> Machine:
    plain = _machine(node, ref, RootKind.NBD)
    if plain.since is None or node.rooted is None:
        return plain
    seen = [one for one in nbd.clients if one.address == plain.address]
    writes = node.rooted.root.writes.stay
    return Machine(
        plain.node, plain.name, plain.address, plain.since, any(one.export.startswith(ref) for one in seen),
        sum(one.read for one in seen), sum(one.written for one in seen),
        nbd.kept.get(node.id, 0) if writes else None, (node.rooted.root.limit or LIMIT) if writes else None,
        nbdstate.hit_rate(seen),
    )  # fmt: skip


def _nfs_machine(node: Node, ref: str, nfs: status.Status) -> Machine:
    plain = _machine(node, ref, RootKind.NFS)
    if plain.since is None:
        return plain
    addresses = [grant.address for grant in nfs.grants if grant.node == node.id and grant.image == ref]
    seen = [one for one in nfs.traffic if one.address in addresses]
    space = next((space for space in nfs.writes if space.node == node.id), None)
    return Machine(
        plain.node, plain.name, ", ".join(addresses) or plain.address, plain.since,
        any(one.connected for one in seen), sum(one.sent for one in seen), sum(one.received for one in seen),
        space.used if space else None, space.limit if space else None,
    )  # fmt: skip
