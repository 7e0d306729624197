"""The states of a machine and what moves it from one to the next. Pure: a node and an event in, the changed
node out.

The law: only success (`deploy.done`, `install.done`) disarms. Until then the disk is not to be booted,
whatever happens to the machine or to us, so a power cut in the middle leaves it armed and the next boot
images again, a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bootsrv.model import Armed, BootMode, CaptureOrder, InstallOrder, Node, NodeState, Root, Rooted
from bootsrv.names import printable

ON_ITS_WAY = (NodeState.ARMED, NodeState.IMAGING)


def arm(node: Node, image: str, now: float, wipe: bool = False) -> Node:
    """Ask for one imaging with `image` (NAME@NUMBER). Arming anew replaces an older arming and clears a
    failure."""
    return replace(node, state=NodeState.ARMED, armed=Armed(image, now, wipe), error=None)


def arm_capture(node: Node, name: str, order: CaptureOrder, now: float) -> Node:
    """Ask for one capture by the imager, as the next version of the image `name`."""
    return replace(node, state=NodeState.ARMED, armed=Armed(name, now, capture=order), error=None)


def arm_install(node: Node, order: InstallOrder, now: float) -> Node:
    """Ask for one installation by the distribution's own installer."""
    return replace(node, state=NodeState.ARMED, armed=Armed(order.tree, now, install=order), error=None)


def disarm(node: Node) -> Node:
    """Take an arming back, failed or not, as long as no imager has touched the disk, for this arming or for
    an earlier one."""
    if not disarmable(node) or node.half_written:
        return node
    state = NodeState.RUNNING if node.running else NodeState.REGISTERED
    return replace(node, armed=None, state=state, error=None)


def disarmable(node: Node) -> bool:
    """Whether there is an arming that nothing works on now."""
    return node.armed is not None and node.state in (NodeState.ARMED, NodeState.FAILED)


def boot_started(node: Node, max_attempts: int) -> Node:
    """The machine was handed the imager for its arming. Past the bound it is failed, and held for a
    person."""
    if node.armed is None or node.state not in ON_ITS_WAY:
        return node
    attempts = node.armed.attempts + 1
    if attempts > max_attempts:
        error = f"did not finish {node.armed.doing} in {max_attempts} boots"
        return replace(node, state=NodeState.FAILED, error=error)
    return replace(node, armed=replace(node.armed, attempts=attempts))


def diskless(node: Node, image: str) -> Node:
    """From its next boot on a diskless machine, with `image`. Nothing is armed any more, nor has it failed:
    its disk is left as it is, half written or not."""
    state = NodeState.RUNNING if node.running else NodeState.REGISTERED
    return replace(node, mode=BootMode.DISKLESS, image=image, state=state, armed=None, error=None)


def from_disk(node: Node) -> Node:
    """From its next boot on its own disk again; until then it runs what it runs."""
    error = node.error if node.state is NodeState.FAILED else None
    return replace(node, mode=BootMode.LOCAL, error=error)


def rooted(node: Node, image: str, root: Root, now: float) -> Node:
    """The machine was handed a diskless boot with this version (NAME@NUMBER)."""
    return replace(node, rooted=Rooted(image, root, now))


def unrooted(node: Node) -> Node:
    """The machine was handed something else to boot: its last root is not in use any more. What its disk
    holds it will say itself."""
    if node.rooted is None:
        return node
    state = NodeState.REGISTERED if node.state is NodeState.RUNNING else node.state
    return replace(node, rooted=None, running=None, state=state)


def captured(node: Node) -> Node:
    """A node that was booted to be captured: nothing on its disk changed."""
    return replace(node, armed=None, state=NodeState.RUNNING if node.running else NodeState.REGISTERED)


def installing(node: Node, kind: str, data: Mapping[str, Any]) -> Node:
    """The node after a step of its distribution's installer, or of the system that was installed.

    From the moment that it has its answers the disk counts as half written. A person at its console may lead
    a failed installation to its end all the same.
    """
    if node.armed is None or node.armed.install is None:
        return node
    if kind == "install.started" and node.state is NodeState.ARMED:
        return replace(node, state=NodeState.IMAGING, error=None, running=None, half_written=True)
    if kind == "install.failed" and node.state in ON_ITS_WAY:
        return replace(node, state=NodeState.FAILED, error=_reason(data))
    if kind == "install.done" and (node.state is NodeState.IMAGING or node.half_written):
        return replace(node, state=NodeState.INSTALLED, armed=None, error=None, half_written=False)
    return node


def reported(node: Node, kind: str, data: Mapping[str, Any]) -> Node:
    """The node after an event that its imager or its system reported."""
    if kind == "deploy.started" and _deploys(node):
        return replace(node, state=NodeState.IMAGING, error=None, running=None, half_written=True)
    if kind == "deploy.done" and _deploys(node):
        return replace(node, state=NodeState.INSTALLED, armed=None, error=None, half_written=False)
    if kind == "deploy.failed" and node.armed is not None and node.armed.install is None:
        return replace(node, state=NodeState.FAILED, error=_reason(data))
    if kind == "root.failed" and node.rooted is not None:
        return replace(node, error=_reason(data))
    if kind == "home" and node.state in (NodeState.INSTALLED, NodeState.RUNNING, NodeState.REGISTERED):
        return replace(
            node, state=NodeState.RUNNING, running=str(data.get("image") or "") or node.running, error=None
        )
    return node


def _deploys(node: Node) -> bool:
    armed = node.armed
    return armed is not None and armed.capture is None and armed.install is None


def _reason(data: Mapping[str, Any]) -> str:
    step = printable(str(data.get("step") or ""))
    error = printable(str(data.get("error") or "no reason was reported"))
    return f"{step}: {error}"[:500] if step else error[:500]
