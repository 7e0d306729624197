"""The verbs on power: where a node's switch is, and switching it.

An order is on record as an event of the node, done or failed. `off` asks the system first and cuts the power
after a while only where a controller can.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.model import Node
from bootsrv.power.bare import Bare
from bootsrv.power.door import Door, Switch, parse
from bootsrv.power.ipmi import Ipmi
from bootsrv.power.kept import Kept, Secret
from bootsrv.power.redfish import Redfish, certificate, connect
from bootsrv.registry.registry import Registry
from bootsrv.remote import Remote

ACTIONS = ("on", "off", "cycle", "status")
PATIENCE = 90.0  # seconds that a system gets for shutting down
SOON = 30.0  # that a controller gets for doing what it was told
POLL_SECONDS = 2.0


class Powers:
    """Safe to call from several threads, for different nodes."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        remote: Callable[[Node], Remote],
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config, self._registry, self._remote = config, registry, remote
        self._clock, self._sleep = clock, sleep
        self._kept = Kept(config, registry)

    def door(self, node: Node) -> Door | None:
        """Its controller; None: it has none."""
        return self._kept.door(node.id)

    def set_door(self, node: Node, text: str, password: str) -> Door:
        """Remember its controller, after asking it whether the machine is on: what does not work now will
        not in the night. `{name}` in `text` is the node's name. Raises Invalid, BootsrvError."""
        door = parse(text.replace("{name}", node.name or ""))
        secret = Secret(password, self._seen(node, door))
        if _made(node, door, secret).is_on() is None:
            raise BootsrvError(f"{node.name}: {door} does not say whether the machine is on")
        self._kept.keep(node.id, door, secret)
        return door

    def clear_door(self, node: Node) -> None:
        """Forget it."""
        self._kept.forget(node.id)

    def act(self, node: Node, action: str, hard: bool = False, network: bool = False) -> str:
        """Do it; what is so now, in a word. `network`: and boot from the network, this once.

        Raises Invalid, BootsrvError.
        """
        if action not in ACTIONS:
            raise Invalid(f"{action!r} is none of {', '.join(ACTIONS)}")
        switch = self._switch(node)
        if action == "status":
            return {True: "on", False: "off", None: "unknown"}[switch.is_on()]
        try:
            if network:
                switch.network_next()
            said = self._do(switch, action, hard)
        except (BootsrvError, OSError) as error:
            self._record(node, "power.failed", f"power {action}: {error}")
            raise
        self._record(node, f"power.{action}", f"power {action}: {said}")
        return said

    def _do(self, switch: Switch, action: str, hard: bool) -> str:
        if action == "cycle":
            switch.cycle()
            return "restarted"
        if action == "on":
            switch.on()
            return {True: "on", False: "told to go on", None: "woken"}[self._become(switch, True, SOON)]
        switch.off(hard)
        now = self._become(switch, False, SOON if hard else PATIENCE)
        if now is None:
            return "shutting down"
        if now and not hard:
            switch.off(True)
            return f"off, its power was cut after {PATIENCE:.0f} s"
        return "told to go off" if now else "off"

    def _become(self, switch: Switch, wanted: bool, seconds: float) -> bool | None:
        """What it is after at most so many seconds; controllers answer before they have done it."""
        for _ in range(int(seconds / POLL_SECONDS)):
            if switch.is_on() in (wanted, None):
                break
            self._sleep(POLL_SECONDS)
        return switch.is_on()

    def _switch(self, node: Node) -> Switch:
        door = self.door(node)
        if door is None:
            nets = [subnet.cidr for subnet in self._config.subnets]
            here = [net for net in nets if node.address is None or node.address in net]
            wide = [net.broadcast_address for net in here]
            return Bare(node.name or "", node.macs, wide, lambda: self._remote(node))
        secret = self._kept.secret(node.id)
        if secret is None:
            raise BootsrvError(f"{node.name}: no password for {door}; `bootsrv power {node.name} via {door}`")
        return _made(node, door, secret)

    def _seen(self, node: Node, door: Door) -> str:
        """What the controller shows before anybody gives it a password."""
        if door.kind == "ipmi":
            return ""
        try:
            connection = connect(door)
        except OSError as error:
            raise BootsrvError(f"{node.name}: {door}: {error}") from error
        try:
            return certificate(connection)
        finally:
            connection.close()

    def _record(self, node: Node, kind: str, text: str) -> None:
        self._registry.events.add(self._clock(), kind, text, None, node.id)


def _made(node: Node, door: Door, secret: Secret) -> Switch:
    if door.kind == "ipmi":
        return Ipmi(node.name or "", door, secret.password)
    return Redfish(node.name or "", door, secret.password, secret.certificate)
