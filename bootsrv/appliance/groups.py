"""The verbs on groups: DHCP options between those of a subnet and those of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bootsrv import names
from bootsrv.appliance import checks
from bootsrv.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Group:
    """Options by ISC name, and how many nodes are in it."""

    name: str
    options: Mapping[str, Any]
    nodes: int


class Groups:
    """Verbs on groups."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def list(self) -> Sequence[Group]:
        """Every group that has options or nodes."""
        counts, options = self._registry.nodes.group_sizes(), self._registry.nodes.all_group_options()
        return [
            Group(name, options.get(name, {}), counts.get(name, 0)) for name in sorted({*counts, *options})
        ]

    def set_options(self, name: str, options: Mapping[str, Any]) -> Group:
        """Merge options into a group's; a value of None removes one. Raises Invalid."""
        name = names.group(name)
        with self._registry.transaction():
            merged = {**self._registry.nodes.group_options([name]), **options}
            kept = {key: value for key, value in merged.items() if value is not None}
            checks.options_fit(kept)
            self._registry.nodes.set_group_options(name, kept)
            return Group(name, kept, self._registry.nodes.group_sizes().get(name, 0))
