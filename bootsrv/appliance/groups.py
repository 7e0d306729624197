"""The verbs on groups: DHCP options between those of a subnet and those of a node, and how its nodes boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bootsrv import names
from bootsrv.appliance import checks, wishes
from bootsrv.appliance.images import Images
from bootsrv.errors import Invalid
from bootsrv.model import BootMode, GroupBoot
from bootsrv.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class Group:
    """Options by ISC name, and how many nodes are in it."""

    name: str
    options: Mapping[str, Any]
    nodes: int
    boot: GroupBoot = field(default_factory=GroupBoot)


class Groups:
    """Verbs on groups."""

    def __init__(self, registry: Registry, images: Images) -> None:
        self._registry, self._images = registry, images

    def list(self) -> Sequence[Group]:
        """Every group that says something or has nodes."""
        nodes = self._registry.nodes
        counts, options = nodes.group_sizes(), nodes.all_group_options()
        return [
            Group(name, options.get(name, {}), counts.get(name, 0), nodes.group_boot(name))
            for name in sorted({*counts, *options})
        ]

    def set_options(self, name: str, options: Mapping[str, Any]) -> Group:
        """Merge options into a group's; a value of None removes one. Raises Invalid."""
        name = names.group(name)
        with self._registry.transaction():
            merged = {**self._registry.nodes.group_options([name]), **options}
            kept = {key: value for key, value in merged.items() if value is not None}
            checks.options_fit(kept)
            self._registry.nodes.set_group_options(name, kept)
            return self._show(name, kept)

    def set_boot(self, name: str, mode: str | None, wish: wishes.Wish, clear: Sequence[str] = ()) -> Group:
        """Say how a group's nodes boot; `clear` takes back: mode, root, writes, paths, write-limit. A node's
        own word counts more. Raises Invalid, also when one of them would be diskless with an image that
        cannot be a root."""
        name = names.group(name)
        if mode == BootMode.DISKLESS:
            self._images.look_ahead(node.image for node in self._registry.nodes.list(group=name))
        with self._registry.transaction():
            boot = self._registry.nodes.group_boot(name)
            for key in clear:
                if key == "mode":
                    boot = replace(boot, mode=None)
                elif key in wishes.FIELDS:
                    boot = replace(boot, diskless=wishes.cleared(boot.diskless, key))
                else:
                    raise Invalid(f"{key} cannot be cleared, but mode, {', '.join(wishes.FIELDS)}")
            if mode is not None:
                boot = replace(boot, mode=wishes.choice(BootMode, mode, "boot mode"))
            boot = replace(boot, diskless=wishes.diskless(boot.diskless, wish))
            self._registry.nodes.set_group_boot(name, boot)
            for node in self._registry.nodes.list(group=name):
                if node.boots is BootMode.DISKLESS:
                    wishes.fits(node.root)
                    if node.image is not None:
                        self._images.rootable(node.image)
            return self._show(name, self._registry.nodes.group_options([name]))

    def set_profile(self, name: str, profile: str | None) -> Group:
        """By which profile a group's nodes are installed; None takes it back. Raises Invalid."""
        name = names.group(name)
        with self._registry.transaction():
            if profile is not None:
                profile = checks.profile_name(self._registry, profile)
            boot = replace(self._registry.nodes.group_boot(name), profile=profile)
            self._registry.nodes.set_group_boot(name, boot)
            return self._show(name, self._registry.nodes.group_options([name]))

    def _show(self, name: str, options: Mapping[str, Any]) -> Group:
        nodes = self._registry.nodes
        return Group(name, options, nodes.group_sizes().get(name, 0), nodes.group_boot(name))
