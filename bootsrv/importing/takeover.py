"""Registers what was read from another server: all of it or nothing, with every problem named at once.

The law: what a rehearsal (`dry_run`) says is what the real run does, because both do the same in one
transaction; the rehearsal takes it back. A node that is there already, with the same name and one of its
MACs or other identities, is left as it is, so that an import can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.errors import BootsrvError
from bootsrv.importing.imported import Imported, ImportedNode


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was (or would be) done, by node name; `problems` are sentences with their place in the file."""

    added: tuple[str, ...]
    present: tuple[str, ...]
    problems: tuple[str, ...]


class _TakenBack(Exception):
    """Ends a transaction that is not to stay."""


def take_over(appliance: Appliance, found: Imported, dry_run: bool = False) -> Outcome:
    """Register groups and nodes. With problems nothing is registered; the Outcome names them all.

    Nodes are not armed: taking over a configuration must not wipe a disk.
    """
    added: list[str] = []
    present: list[str] = []
    problems = _homeless(appliance, found.nodes)
    try:
        with appliance.registry.transaction():
            for group in found.groups:
                _group(appliance, found.source, group.name, group.line, dict(group.options), problems)
            for node in found.nodes:
                if not _has_home(appliance, node):
                    continue
                if _is_there(appliance, node):
                    present.append(node.name)
                    continue
                try:
                    made = appliance.nodes.add(_wanted(node), arm=False)
                    if node.identities:
                        appliance.identities.set(made, node.identities)
                    added.append(node.name)
                except BootsrvError as error:
                    problems.append(f"{found.source}:{node.line}: {node.name}: {error}")
            if problems or dry_run:
                raise _TakenBack
    except _TakenBack:
        return Outcome(tuple(added) if dry_run else (), tuple(present), tuple(problems))
    return Outcome(tuple(added), tuple(present), ())


def _group(
    appliance: Appliance, source: str, name: str, line: int, options: dict[str, object], problems: list[str]
) -> None:
    try:
        appliance.groups.set_options(name, options)
    except BootsrvError as error:
        problems.append(f"{source}:{line}: group {name}: {error}")


def _wanted(node: ImportedNode) -> Wanted:
    return Wanted(
        name=node.name, macs=node.macs, address=node.address, groups=node.groups, options=dict(node.options)
    )


def _is_there(appliance: Appliance, node: ImportedNode) -> bool:
    known = appliance.registry.nodes.by_name(node.name)
    if known is None:
        return False
    theirs = {(kind, text.removeprefix("0x")) for kind, text in node.identities}
    mine = appliance.registry.identities.of(known.id)
    return not set(known.macs).isdisjoint(node.macs) or not theirs.isdisjoint(mine)


def _has_home(appliance: Appliance, node: ImportedNode) -> bool:
    return node.address is None or appliance.config.subnet_of(node.address) is not None


def _homeless(appliance: Appliance, nodes: Sequence[ImportedNode]) -> list[str]:
    """One sentence for all nodes whose network is not configured: it is one thing to mend, not a thousand."""
    homeless = [node for node in nodes if not _has_home(appliance, node)]
    if not homeless:
        return []
    first = homeless[0]
    count = f"{len(homeless)} nodes have" if len(homeless) > 1 else "1 node has"
    return [
        f"{count} an address in no subnet of {appliance.config.path} "
        f"(first: {first.name} at {first.address}): put the subnets into it first, then import again"
    ]
