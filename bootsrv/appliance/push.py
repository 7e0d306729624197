"""The verbs that keep running nodes up to date: what a push would do, the push of one node, its drift.

A node is reached by its own agent service, where it has one that asked lately, or over SSH with the server's
own key; then it fetches over HTTP with a token of its own. The law: nothing is said to be done before the
node has looked at itself and said so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bootsrv import pushstore, sshkey, tls
from bootsrv.agents import pace
from bootsrv.agents.way import AgentWay, NotTaken
from bootsrv.appliance.errors import translated
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Conflict, Invalid, Needed, NotFound
from bootsrv.listening import reach
from bootsrv.model import Node, NodeState
from bootsrv.registry.orders import AgentCall
from bootsrv.registry.registry import Registry
from bootsrv.registry.upkeep import Drift
from bootsrv.remote import Hear, Remote
from images.progress import Progress, silent
from images.versions import Version

if TYPE_CHECKING:
    from images.changes.report import Report
    from images.push.patches import PatchSet

TOKEN_SECONDS = 6 * 3600.0
BOOT_SECONDS = 600.0  # what a restart may take on top of the time to confirm
POLL_SECONDS = 1.0
AUTO, AGENT, SSH = WAYS = ("auto", "agent", "ssh")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One push, as it was asked for. `confirm` in minutes, 0: what was replaced goes away at once. `via`: by
    the node's agent, over SSH, or AUTO: by the agent if there is one.
    """

    image: str | None = None
    confirm: float = 0.0
    reboot: bool = False
    checksum: bool = False
    patches: bool = True
    via: str = AUTO


@dataclass(frozen=True, slots=True)
class Step:
    """What one node would go through. `report` and `patches` only where the version it runs is known."""

    node: Node
    version: Version
    base: Version | None = None
    report: Report | None = None
    patches: PatchSet | None = field(default=None)

    @property
    def bytes(self) -> int | None:
        """About what would be fetched; None where only the node can tell."""
        if self.report is None:
            return None
        fresh = self.report.bytes_new * self.version.stored_bytes // max(self.version.bytes, 1)
        return fresh - self.patches.spared + self.patches.bytes if self.patches is not None else fresh

    @property
    def reboot(self) -> bool:
        """Whether only a reboot brings all of it to work."""
        return self.report is not None and bool(self.report.reboot)


_FIRST = {  # what brings a node that does not run to where it does
    NodeState.DISCOVERED: "`bootsrv node adopt {0}` registers it, then it can be imaged",
    NodeState.REGISTERED: "`bootsrv reimage {0} --image REF` puts an image on it at its next boot",
    NodeState.ARMED: "push once it has been imaged, at its next boot, and has called home",
    NodeState.IMAGING: "push once it has called home",
    NodeState.INSTALLED: "push once it has called home",
    NodeState.FAILED: "`bootsrv log {0}` says why; `bootsrv reimage {0} --retry` lets it try again",
}


class Pushes:
    """Verbs on running nodes. Safe to call from several threads."""

    def __init__(
        self, config: Config, registry: Registry, images: Images, clock: Callable[[], float]
    ) -> None:
        self._config, self._registry, self._images, self._clock = config, registry, images, clock

    def plan(self, nodes: Sequence[Node], wanted: Wanted, progress: Progress = silent) -> list[Step]:
        """What a push would do, from manifests alone; no node is asked. Patches between the same two versions
        are made once.

        Raises Invalid for a node that cannot be pushed to or would not boot again, NotFound for an unknown
        image.
        """
        from images.changes.report import compare
        from images.push.patches import patch_set

        known: dict[tuple[str, str], tuple[Report, PatchSet | None]] = {}
        steps = []
        for node in nodes:
            version = self._version(node, wanted.image)
            base = self._running(node)
            if base is None or base.id == version.id:
                steps.append(Step(node, version, base))
                continue
            pair = (base.id, version.id)
            if pair not in known:
                with translated():
                    store = self._images.store()
                    report = compare(store, base.ref, version.ref)
                if report.kernels[0] and not report.kernels[1]:
                    self._images.bootable(version.ref)  # a push would take the machine's kernel away
                with translated():
                    folder = pushstore.patches_dir(self._config)
                    made = patch_set(store, *pair, folder, progress) if wanted.patches else None
                    known[pair] = report, made
            steps.append(Step(node, version, base, *known[pair]))
        return steps

    def push(self, step: Step, wanted: Wanted, hear: Hear) -> Mapping[str, Any]:
        """Bring one node to its version; the node's own report. Raises BootsrvError."""
        node, since = step.node, self._registry.events.last_id()
        self._record(node, "push.started", f"push of {step.version.ref}", {"image": step.version.ref})
        try:
            report = dict(self._agent("update", step, wanted, hear))
            changed = any(report.get(kind) for kind in ("made", "attributes", "removed"))
            if changed and (wanted.confirm or wanted.reboot):
                self._confirmed(step, wanted, since)
        except (BootsrvError, OSError) as error:
            self._record(node, "push.failed", str(error), {"image": step.version.ref, "error": str(error)})
            raise
        self._arrived(step, wanted, report)
        return report

    def drift(self, node: Node, checksum: bool = False) -> Mapping[str, Any]:
        """How the node differs from the version it runs, asked of the node now. Raises BootsrvError."""
        version = self._running(node) or self._version(node, None)
        step = Step(node, version)
        report = self._agent("drift", step, Wanted(checksum=checksum), lambda said: None)
        self._keep_drift(node, version, int(report.get("drift") or 0))
        return {**report, "image": version.ref}

    def last_drift(self, node: Node) -> Drift | None:
        """What the last look at the node found; None when nobody has looked since it was imaged."""
        return self._registry.upkeep.drift(node.id)

    # --- parts

    def _version(self, node: Node, image: str | None) -> Version:
        ref = image or node.image
        if node.state is not NodeState.RUNNING:
            called = node.name or node.macs[0]
            then = _FIRST[node.state].format(called)
            raise Conflict(f"{called} is {node.state}: only running nodes can be asked or pushed to; {then}")
        if node.rooted is not None:
            raise Conflict(
                f"{node.name} is diskless: `bootsrv reimage {node.name} --diskless --image REF` gives it "
                "another version at its next boot"
            )
        if ref is None:
            raise Needed(f"{node.name} has no image", "image")
        version = self._images.resolve(ref)
        if version.kind != "tree":
            raise Invalid(f"{version.ref} is a {version.kind} image: it can only be put on a disk")
        return version

    def _running(self, node: Node) -> Version | None:
        try:
            return self._images.resolve(node.running) if node.running else None
        except NotFound:  # removed since: the node knows what it is, and compares itself
            return None

    def remote(self, node: Node) -> Remote:
        """The way to the node over SSH. Raises Invalid when it is not known."""
        if node.address is None:
            raise Invalid(f"{node.name} has no registered address: `bootsrv node set {node.name} --address`")
        keys = self._registry.upkeep.host_keys(node.id)
        return Remote(node.name or "", str(node.address), keys, sshkey.private_file(self._config))

    def last_call(self, node: Node) -> AgentCall | None:
        """When the node's agent service last asked for an order; None where it has none, or none that may be
        used: orders go over HTTPS alone."""
        return self._registry.orders.agent(node.id) if self._config.http.tls_port is not None else None

    def _agent(self, command: str, step: Step, wanted: Wanted, hear: Hear) -> Mapping[str, Any]:
        base = step.base.id if step.base is not None else None
        patches = step.patches.id if step.patches is not None and step.patches.files else None
        opens = {"version": step.version.id, "base": base, "patches": patches}
        task = {
            "ref": step.version.ref, "manifest": step.version.id, "base": base, "patches": patches,
            "confirm": wanted.confirm, "reboot": wanted.reboot, "checksum": wanted.checksum,
        }  # fmt: skip
        way = self._service(step.node, wanted.via)
        if way is not None:
            try:
                return way.agent([command], task, opens, hear)
            except NotTaken as error:
                if wanted.via == AGENT:
                    raise
                hear({"step": "wait", "text": f"{error}; now over SSH"})
        return self._by_ssh(command, step.node, task, opens, hear)

    def _service(self, node: Node, via: str) -> AgentWay | None:
        """The way by the node's own service, None for the one over SSH. Raises Invalid."""
        call = self.last_call(node) if via != SSH else None
        if call is None and via == AGENT:
            off = self._config.http.tls_port is None
            why = (
                "its agent service needs HTTPS ([http] tls_port)" if off else "its agent never called"
            )
            name = node.image.partition("@")[0] if node.image else "IMAGE"
            raise Invalid(
                f"{node.name}: {why}: `bootsrv image agent {name}` makes a version that has it, and a push"
                " over SSH brings it there"
            )
        if call is None or (
            via == AUTO and not pace.alive(call.called, self._clock(), self._registry.orders.agents())
        ):
            return None
        with translated():
            private = self._images.store().private_key()
        return AgentWay(node.name or "", node.id, call, self._registry, private, self._clock)

    def _by_ssh(
        self, command: str, node: Node, task: Mapping[str, Any], opens: Mapping[str, Any], hear: Hear
    ) -> Mapping[str, Any]:
        remote = self.remote(node)
        token = self._registry.tokens.issue(
            pushstore.PURPOSE, str(node.id), self._clock(), TOKEN_SECONDS, opens
        )
        url, certificate = reach(self._config, remote.own_address())
        more = {
            "url": url, "certificate": certificate, "pin": tls.pin(certificate) if certificate else "",
            "token": token, "key": self._images.store().public_key().hex(),
        }  # fmt: skip
        return remote.agent([command], {**task, **more}, url, hear)

    def _confirmed(self, step: Step, wanted: Wanted, since: int) -> None:
        """Waits until the node has called home as the new version, and where it can still return, that it
        stays; raises when it returned to the old one.
        """
        limit = wanted.confirm * 60 + 60 + (BOOT_SECONDS if wanted.reboot else 0)
        switched, old = self._registry.events.last_id(), step.base.ref if step.base is not None else None
        ends = time.monotonic() + limit
        while time.monotonic() < ends:
            for event in self._registry.events.since(since, 500, step.node.id):
                since = event.id
                if event.kind != "home":
                    continue
                if event.data.get("returned"):
                    raise BootsrvError(f"{step.node.name}: {event.text}")
                if event.id > switched and event.data.get("image") == old and wanted.confirm:
                    raise BootsrvError(f"{step.node.name}: returned to {old}")  # and could not say so then
                known = event.data.get("image") == step.version.ref
                if known and (event.data.get("confirmed") or not wanted.confirm):
                    return
            time.sleep(POLL_SECONDS)
        raise BootsrvError(f"{step.node.name}: did not call home as {step.version.ref} in {limit:.0f} s")

    def _arrived(self, step: Step, wanted: Wanted, report: Mapping[str, Any]) -> None:
        with self._registry.transaction():
            node = self._registry.nodes.get(step.node.id)
            if node is not None:
                image = wanted.image or node.image
                self._registry.nodes.save(replace(node, running=step.version.ref, image=image))
                self._keep_drift(node, step.version, int(report.get("drift") or 0))
        text = f"runs {step.version.ref}: {report.get('made', 0)} made, {report.get('removed', 0)} removed"
        self._record(step.node, "push.done", text, {"image": step.version.ref, **_numbers(report)})

    def _keep_drift(self, node: Node, version: Version, count: int) -> None:
        self._registry.upkeep.set_drift(node.id, Drift(version.ref, count, self._clock()))

    def _record(self, node: Node, kind: str, text: str, data: Mapping[str, Any]) -> None:
        self._registry.events.add(self._clock(), kind, text, None, node.id, data)


def _numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "made", "attributes", "removed", "fetched", "local", "patched", "drift", "seconds", "services",
        "reboot",
    )  # fmt: skip
    return {name: report[name] for name in names if name in report}
