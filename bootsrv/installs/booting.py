"""The boot script of a machine that is to be installed: one attempt, its tree's kernel, its own answers.

Called inside the transaction that decides the boot. What cannot be given to an installer ends in FAILED at
once: the machine then shows the reason and waits, instead of asking questions on a console that nobody sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bootsrv import bootplan, lifecycle
from bootsrv.config import Config
from bootsrv.errors import BootsrvError
from bootsrv.installs.desk import Desk
from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry
from bootsrv.scripts import Loader
from pxe import ipxe
from pxe.loaders import architecture
from pxe.trees.facts import arch_of

# A 64-bit x86 machine's BIOS announces itself as i386.
_RUNS_ON = {"x86_64": ("x86_64", "i386"), "i386": ("x86_64", "i386")}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a script. `again`: what a script that failed asks; `same_boot`: this is such a one."""

    mac: str
    base: str
    again: str
    arch: int | None
    same_boot: bool
    loader: Loader = ipxe


class Booting:
    """Makes scripts."""

    def __init__(self, config: Config, registry: Registry, desk: Desk, clock: Callable[[], float]) -> None:
        self._config, self._registry, self._desk, self._clock = config, registry, desk, clock

    def script(self, node: Node, ask: Ask) -> tuple[Node, str | None]:
        """The node after this attempt, and its script; None: it has failed, and is to be held."""
        plan = bootplan.decide(node, under_way=ask.same_boot)  # not counted yet, otherwise
        if not ask.same_boot:
            node = self._save(node, lifecycle.boot_started(node, self._config.nodes.max_attempts))
        if node.state is NodeState.FAILED:
            self._tell(node, ask.mac, node.error or "")
            return node, None
        try:
            made = self._desk.begin(node, ask.mac, ask.base)
            facts = made.facts
            cpu = architecture(ask.arch).cpu if ask.arch is not None else facts.arch
            if arch_of(cpu) not in _RUNS_ON.get(facts.arch, (facts.arch,)):
                raise BootsrvError(f"the tree is for {facts.arch} machines, and this is {cpu}")
            tree = f"{ask.base}/tree/{node.armed.image if node.armed else ''}/"
            text = ask.loader.kernel(
                f"{tree}{facts.kernel}", [f"{tree}{name}" for name in facts.initrds], made.line,
                f"{node.name or ask.mac}: {plan.reason}", ask.again, "the installer could not be started",
            )  # fmt: skip
        except (BootsrvError, ValueError) as error:
            failed = lifecycle.installing(node, "install.failed", {"step": "answers", "error": str(error)})
            self._tell(failed, ask.mac, str(error))
            return self._save(node, failed), None
        return node, text

    def _save(self, before: Node, after: Node) -> Node:
        return self._registry.nodes.save(after) if after != before else before

    def _tell(self, node: Node, mac: str, error: str) -> None:
        self._registry.events.add(self._clock(), "install.failed", error, mac, node.id, {"error": error})
