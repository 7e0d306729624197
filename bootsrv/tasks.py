"""What an imager is told to do: one node's record and the boot plan, as a task of the node API.

The plan is `bootplan.decide`'s; here it is only filled with what the imager needs to carry it out. Keeps no
state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from bootsrv import sshkey
from bootsrv.bootplan import Action, BootPlan, Purpose
from bootsrv.config import Config
from bootsrv.errors import Invalid
from bootsrv.listening import callback
from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry
from images.layout import Layout
from images.layout_parse import default_layout, layout_to_json, parse_layout
from images.versions import Version

HOSTS_LIMIT = 4096  # beyond this a hosts file is the wrong tool, and DNS has the names anyway


def waiting(node: Node | None, plan: BootPlan) -> dict[str, Any] | None:
    """The task of a machine that has nothing to do; None when it is to deploy, or to be captured."""
    if plan.purpose in (Purpose.DEPLOY, Purpose.CAPTURE):
        return None
    if plan.purpose is Purpose.HOLD:
        return {"kind": "hold", "text": (node.error if node is not None else None) or plan.reason}
    if node is None or node.state is NodeState.DISCOVERED:
        return {"kind": "wait", "text": "not registered yet: waiting for a name and an image"}
    if plan.action in (Action.DISKLESS, Action.INSTALLER):
        return {"kind": "reboot"}
    if plan.action is Action.LOCAL and node.state is not NodeState.REGISTERED:
        return {"kind": "reboot"}
    if node.image is None:
        return {"kind": "wait", "text": f"registered as {node.name}: waiting for an image"}
    return {
        "kind": "wait",
        "text": f"registered as {node.name} with {node.image}: waiting for `bootsrv reimage`",
    }


def deploy_id(node: Node) -> str:
    """Names one arming, so that a report about an older one changes nothing."""
    return f"{node.id}-{node.armed.at:.3f}" if node.armed is not None else ""


def capture(node: Node, token: str) -> dict[str, Any]:
    """The capture task. `token` opens one capture of this machine."""
    assert node.armed is not None and node.armed.capture is not None
    return {
        "kind": "capture",
        "id": deploy_id(node),
        "what": node.armed.capture.kind,
        "name": node.armed.image,
        "node": node.name,
        "token": token,
        "disk": node.disk,
        "made_from": node.running or "",
        "words": list(node.armed.capture.words),
    }


def deploy(
    node: Node,
    mac: str,
    version: Version,
    config: Config,
    registry: Registry,
    base: str,
    home_token: str,
    seeds: Sequence[Version] = (),
) -> dict[str, Any]:
    """The deploy task. `home_token` is for the system's call home; `seeds` may be what its disk holds."""
    layout = layout_of(node, version.name, config)
    return {
        "kind": "deploy",
        "id": deploy_id(node),
        "image": {
            "ref": version.ref,
            "kind": version.kind,
            "name": version.name,
            "number": version.number,
            "manifest": version.id,
            "url": f"/store/manifests/{version.id}",
            "locator": f"/store/locators/{version.id}",
        },
        "disk": node.disk,
        "wipe": bool(node.armed and node.armed.wipe),
        "seed": [{"manifest": old.id, "url": f"/store/manifests/{old.id}"} for old in seeds],
        "layout": layout_to_json(layout),
        "node": identity(node, mac, version.meta, config, registry, base),
        "callback": callback(config, base, home_token),
        "finish": config.imager.finish,
    }


def layout_of(node: Node, image: str, config: Config) -> Layout:
    """The node's own layout, the image's, or the default. Raises Invalid for one that is gone."""
    name = node.layout or config.imager.image_layouts.get(image)
    if name is not None:
        if name not in config.layouts:
            raise Invalid(f"{node.name}: there is no disk layout {name!r} in the configuration any more")
        return parse_layout(config.layouts[name])
    return parse_layout(config.imager.layout) if config.imager.layout is not None else default_layout()


def identity(
    node: Node, mac: str, meta: Mapping[str, Any], config: Config, registry: Registry, base: str
) -> dict[str, Any]:
    """What makes the machine this node and no other: name, address, keys."""
    place = place_of(node, config, registry, base.removeprefix("http://").rpartition(":")[0])
    own = sshkey.public_line(config)
    return {
        "name": node.name,
        "address_method": str(node.method),
        "mac": mac,
        **place,
        "hosts": _hosts(node, config, registry, place["domain"]),
        "ssh_authorized_keys": [*config.nodes.ssh_authorized_keys, *([own] if own else [])],
        "root_password_hash": config.nodes.root_password_hash,
        "kernel_args": str(meta.get("kernel_args") or ""),
    }


def place_of(node: Node, config: Config, registry: Registry, server: str) -> dict[str, Any]:
    """Where a node is in the network: domain, address (with its prefix), gateway, dns, search. `server`: our
    address there, "" when that is not known."""
    subnet = config.subnet_of(node.address) if node.address is not None else None
    options = {
        **(subnet.options if subnet else {}),
        **registry.nodes.group_options(node.groups),
        **node.options,
    }
    own_dns = [server] if server and config.dns.enabled and config.domain else []
    prefix = subnet.cidr.prefixlen if subnet is not None else 32
    domain = str(options.get("domain-name") or config.domain)
    return {
        "domain": domain,
        "address": f"{node.address}/{prefix}" if node.address is not None else None,
        "gateway": _first(options.get("routers"))
        or (str(subnet.routers[0]) if subnet and subnet.routers else None),
        "dns": _texts(options.get("domain-name-servers")) or own_dns,
        "search": _texts(options.get("domain-search")) or ([domain] if domain else []),
    }


def _hosts(node: Node, config: Config, registry: Registry, domain: str) -> list[list[str]]:
    rows = [[str(node.address), *_both(node.name or "", domain)]] if node.address is not None else []
    if not config.nodes.hosts:
        return rows
    others = [
        (name, address)
        for name, address in registry.nodes.names()
        if address is not None and name != node.name
    ]
    if len(others) <= HOSTS_LIMIT:
        rows += [[str(address), *_both(name, _domain(config, address))] for name, address in others]
    return rows


def _domain(config: Config, address: IPv4Address) -> str:
    """The domain of names on the network of this address."""
    subnet = config.subnet_of(address)
    return str((subnet.options.get("domain-name") if subnet is not None else None) or config.domain)


def _both(name: str, domain: str) -> list[str]:
    return [f"{name}.{domain}", name] if domain else [name]


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _first(value: object) -> str | None:
    return next(iter(_texts(value)), None)
