"""The verbs on identities: by what else than its MAC a node is recognised when it asks for an address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from bootsrv.errors import Conflict, Invalid
from bootsrv.model import Node
from bootsrv.registry.identities import KINDS
from bootsrv.registry.registry import Registry

LONGEST = 255  # bytes of a DHCP option


class Identities:
    """Verbs on identities."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock

    def of(self, node: Node) -> Sequence[tuple[str, str]]:
        """(kind, value) of each identity."""
        return self._registry.identities.of(node.id)

    def set(self, node: Node, identities: Sequence[tuple[str, str]], replace: bool = False) -> None:
        """Add identities, or with `replace` set exactly these. A value is text, or bytes as 0x... or with
        colons. Raises Invalid, or Conflict when another node has one."""
        wanted = [(kind, _value(kind, text)) for kind, text in identities]
        with self._registry.transaction():
            for kind, value in wanted:
                owner = self._registry.identities.node_of([(kind, value)])
                other = self._registry.nodes.get(owner) if owner is not None else None
                if other is not None and other.id != node.id:
                    raise Conflict(f"{kind} {value} belongs to {other.name}")
            if replace:
                self._registry.identities.clear(node.id)
            for kind, value in wanted:
                self._registry.identities.set(node.id, kind, value)
            text = ", ".join(f"{kind} {value}" for kind, value in wanted) or "its MACs only"
            self._registry.events.add(self._clock(), "node.changed", f"known by {text}", None, node.id)


def _value(kind: str, text: str) -> str:
    if kind not in KINDS:
        raise Invalid(f"identity {kind!r} is none of {', '.join(KINDS)}")
    if kind == "uuid":
        try:
            return str(UUID(text.strip()))
        except ValueError:
            raise Invalid(f"{text!r} is no UUID") from None
    data = _bytes(text.strip())
    if not 0 < len(data) <= LONGEST:
        raise Invalid(f"{kind} {text!r} has {len(data)} bytes; 1 to {LONGEST} are possible")
    return data.hex()


def _bytes(text: str) -> bytes:
    digits = (
        text.removeprefix("0x") if text.startswith("0x") else text.replace(":", "") if ":" in text else ""
    )
    try:
        return bytes.fromhex(digits) if digits else text.encode()
    except ValueError:
        if text.startswith("0x"):
            raise Invalid(f"{text!r} is not hexadecimal") from None
        return text.encode()
