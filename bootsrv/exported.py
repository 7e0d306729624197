"""What a tree of files is made into when it is exported as a disk: the image's layout, the service's keys.

It is one machine's disk, named like the image, for whatever card gives it an address: many machines of an
image are what imaging is for.
"""

from __future__ import annotations

from dataclasses import replace

from bootsrv import sshkey
from bootsrv.config import Config
from bootsrv.errors import Invalid
from images.exporting.machine import Machine, plain_machine
from images.layout import Layout
from images.layout_parse import default_layout, parse_layout, parse_size
from images.versions import Version


def machine(version: Version, config: Config, layout: str | None, size: str | None) -> Machine:
    """Raises Invalid: no such layout, or no size. BadInput for a layout that makes no sense."""
    plain, own = plain_machine(version.name), sshkey.public_line(config)
    node = replace(
        plain.node,
        domain=config.domain or "",
        keys=(*config.nodes.ssh_authorized_keys, *([own] if own else [])),
        root_password_hash=config.nodes.root_password_hash,
        kernel_args=str(version.meta.get("kernel_args") or ""),
    )
    wanted = parse_size(size, "--size") if size else None
    if wanted is not None and not wanted.fixed:
        raise Invalid(f"--size {size}: must be a plain size such as 8G")
    return Machine(node, _layout(version.name, config, layout), wanted.fixed if wanted is not None else 0)


def _layout(image: str, config: Config, name: str | None) -> Layout:
    name = name or config.imager.image_layouts.get(image)
    if name is None:
        return parse_layout(config.imager.layout) if config.imager.layout is not None else default_layout()
    if name not in config.layouts:
        raise Invalid(f"there is no disk layout {name!r} in the configuration")
    return parse_layout(config.layouts[name])
