"""What a machine boots: the only place that decides it. Pure; DHCP, TFTP, HTTP, CLI and UI all show its
result.

Decided anew at every request from the registry's record of the node; nothing is written ahead that could
drift from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bootsrv.model import BootMode, Node, NodeState, Root, RootKind, Writes


class Action(StrEnum):
    """What is done with a machine that asks."""

    LOCAL = "local"  # go on to its own disk
    IMAGER = "imager"  # start the RAM system
    INSTALLER = "installer"  # start a distribution's own installer
    DISKLESS = "diskless"  # start its image's kernel, with a root over the network or in memory
    NONE = "none"  # leave it alone: offer no boot file


class Purpose(StrEnum):
    """What the imager is started for."""

    DEPLOY = "deploy"
    DISCOVER = "discover"
    CAPTURE = "capture"
    HOLD = "hold"  # show an error and wait for a person


@dataclass(frozen=True, slots=True)
class BootPlan:
    """The decision, and why in words for a person."""

    action: Action
    reason: str
    purpose: Purpose | None = None
    image: str | None = None  # NAME@NUMBER to be written; of a diskless boot as the admin wrote it
    root: Root | None = None  # of a diskless boot


def decide(node: Node | None, discover: bool = True, under_way: bool = False) -> BootPlan:
    """The plan for a node, or for a machine nobody registered (None). `under_way`: its boot was counted
    already, and is not the next one."""
    if node is None or node.state is NodeState.DISCOVERED:
        return _unknown(discover)
    if node.state is NodeState.FAILED:
        what = node.armed.doing if node.armed is not None else "imaging"
        why = node.error or "no reason was reported"
        reason = f"{what} failed ({why}); waits until it is told to try again"
        return BootPlan(Action.IMAGER, reason, Purpose.HOLD)
    if node.armed is not None:
        if node.armed.capture is not None:
            what = f"its {node.armed.capture.kind} is to be captured as {node.armed.image}"
            return BootPlan(Action.IMAGER, what, Purpose.CAPTURE)
        number = node.armed.attempts + (not under_way)
        again = f", attempt {number}" if number > 1 else ""
        if node.armed.install is not None:
            return BootPlan(Action.INSTALLER, f"to be installed: {node.armed.what}{again}")
        return BootPlan(
            Action.IMAGER, f"armed for {node.armed.image}{again}", Purpose.DEPLOY, node.armed.image
        )
    if node.boots is BootMode.DISKLESS:
        return _diskless(node)
    if node.state is NodeState.IMAGING or node.half_written:
        # Only the report of the imager ends this state: without an arming, the disk is still suspect.
        reason = "its disk is half written; waits for `bootsrv reimage` or `install`"
        return BootPlan(Action.IMAGER, reason, Purpose.HOLD)
    if node.boots is BootMode.DISCOVER:
        return BootPlan(Action.IMAGER, "set to boot the imager and wait", Purpose.DISCOVER)
    if node.state is NodeState.REGISTERED:
        return BootPlan(Action.LOCAL, "registered, no imaging asked for: its own disk")
    return BootPlan(Action.LOCAL, f"{node.state}, nothing armed: its own disk")


def _diskless(node: Node) -> BootPlan:
    """Its own disk, whatever is on it, is not looked at."""
    if node.image is None:
        return BootPlan(Action.IMAGER, "set to boot diskless, but it has no image", Purpose.HOLD)
    root = node.root
    how = "in memory" if root.kind is RootKind.RAM else f"over {str(root.kind).upper()}"
    text = {
        Writes.DISCARD: "nothing is kept",
        Writes.COMPRESS: "nothing is kept",
        Writes.KEEP: "what it writes is kept",
        Writes.PATHS: f"kept: {', '.join(root.paths) or 'no path is named'}",
    }[root.writes]
    return BootPlan(Action.DISKLESS, f"{node.image} as root {how}, {text}", image=node.image, root=root)


def _unknown(discover: bool) -> BootPlan:
    if not discover:
        return BootPlan(Action.NONE, "not registered, and nodes.discover is off: left alone")
    return BootPlan(Action.IMAGER, "not registered: the imager tells what it is and waits", Purpose.DISCOVER)
