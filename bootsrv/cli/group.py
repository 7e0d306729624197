"""`bootsrv group`: DHCP options and ways to boot that a whole group of nodes shares. Who is in it is said at
the nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bootsrv.cli.context import Context, as_json, options_of, pass_context, show_json, show_table
from bootsrv.cli.roots import root_of, root_options
from images.sizes import human

if TYPE_CHECKING:
    from bootsrv.appliance.groups import Group


@click.group()
def group() -> None:
    """DHCP options of groups of nodes, and how they boot."""


@group.command(name="list")
@as_json
@pass_context
def list_(context: Context, json_: bool) -> None:
    """Groups, their options and how many nodes they have."""
    found = context.appliance.groups.list()
    if json_:
        from bootsrv.records import group_record

        show_json([group_record(one.name, one.options, one.nodes, one.boot) for one in found])
        return
    rows = [(one.name, one.nodes, _boot(one), _options(one)) for one in found]
    show_table(("GROUP", "NODES", "BOOTS", "OPTIONS"), rows, "there is no group yet")


@group.command(name="set")
@click.argument("name")
@click.argument("options", nargs=-1, metavar="NAME=VALUE...")
@click.option("--mode", help="What its nodes boot when nothing is armed: local, diskless or discover.")
@click.option("--profile", help="The profile of its nodes' answer files.")
@root_options
@click.option("--clear", multiple=True, help="Take back: profile, mode, root, writes, paths or write-limit.")
@as_json
@pass_context
def set_(
    context: Context, /, name: str, options: tuple[str, ...], mode: str | None, profile: str | None,
    clear: tuple[str, ...], json_: bool, **given: Any,
) -> None:  # fmt: skip
    """Set DHCP options of a group by their ISC names (an empty value removes one), and how its nodes boot.
    What is said of a node itself counts more."""
    from bootsrv.appliance.roots import Wanted

    if not (options or mode or profile or clear or any(given.values())):
        raise click.UsageError("nothing to set: say what, such as --mode diskless")
    verbs = context.appliance
    with verbs.registry.transaction():
        made = verbs.groups.set_options(name, options_of(options) or {})
        if profile or "profile" in clear:
            made = verbs.groups.set_profile(name, profile)
        rest = [key for key in clear if key != "profile"]
        if mode or rest or any(given.values()):
            made = verbs.groups.set_boot(name, mode, Wanted(**root_of(given)), rest)
    if json_:
        from bootsrv.records import group_record

        show_json(group_record(made.name, made.options, made.nodes, made.boot))
        return
    click.echo(f"{made.name}: {', '.join(filter(None, (_boot(made), _options(made)))) or 'no options'}")


def _options(one: Group) -> str:
    return ", ".join(f"{key}={value}" for key, value in one.options.items())


def _boot(one: Group) -> str:
    said = one.boot.diskless
    words = [
        one.boot.mode,
        f"profile {one.boot.profile}" if one.boot.profile else None,
        said.root,
        f"writes {said.writes}" if said.writes else None,
        *(said.paths or ()),
    ]
    return " ".join(
        [str(word) for word in words if word] + ([f"<= {human(said.limit)}"] if said.limit else [])
    )
