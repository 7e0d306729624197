"""The verbs on identities: by what else than its MAC a node is recognised when it asks for an address or its
boot script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from bootsrv.errors import Conflict, Invalid
from bootsrv.model import Node
from bootsrv.registry.identities import KINDS
from bootsrv.registry.registry import Registry

TEXTS = ("uuid", "serial")  # kept as they are written; the others are bytes
LONGEST = 255  # bytes of a DHCP option


class Identities:
    """Verbs on identities."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock

    def of(self, node: Node) -> Sequence[tuple[str, str]]:
        """(kind, value) of each identity, values as `set` takes them."""
        return [(kind, _shown(kind, value)) for kind, value in self._registry.identities.of(node.id)]

    def record(self, node: Node) -> dict[str, list[str]]:
        """The same by kind, as the REST API has it."""
        found: dict[str, list[str]] = {}
        for kind, value in self.of(node):
            found.setdefault(kind, []).append(value)
        return found

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


def read(text: str) -> tuple[str, str]:
    """KIND=VALUE, as a person writes one identity."""
    kind, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"identity {text!r}: write KIND=VALUE; kinds are {', '.join(KINDS)}")
    return kind.strip(), value.strip()


def _shown(kind: str, value: str) -> str:
    """Bytes as text where they are some, else as 0x..."""
    if kind in TEXTS:
        return value
    text = bytes.fromhex(value).decode("ascii", "replace")
    plain = text.isascii() and text.isprintable() and not set(": ,") & set(text)
    return text if plain and not text.startswith("0x") else f"0x{value}"


def _value(kind: str, text: str) -> str:
    if kind not in KINDS:
        raise Invalid(f"identity {kind!r} is none of {', '.join(KINDS)}")
    if kind == "uuid":
        try:
            return str(UUID(text.strip()))
        except ValueError:
            raise Invalid(f"{text!r} is no UUID") from None
    if kind == "serial":
        if not 0 < len(text.strip()) <= LONGEST or not text.strip().isprintable():
            raise Invalid(f"{text!r} is no serial number")
        return text.strip().lower()
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
