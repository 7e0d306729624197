"""The profile's interfaces as netplan, version 2: what both Ubuntu's installer and cloud-init read.

An interface that is named by its MAC is matched by it, so that the name the kernel gave does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any

from pxe.answers.errors import Finding
from pxe.answers.network import Interface, Method
from pxe.answers.profile import Profile

Say = Callable[[Finding], None]
MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\Z")
_ANY = {"match": {"name": "e*"}}  # whichever card there is


def netplan(profile: Profile, say: Say) -> dict[str, Any] | None:
    """The network, or None to leave it as the image or installer has it."""
    if not profile.network:
        return None
    found: dict[str, dict[str, Any]] = {}
    for number, interface in enumerate(profile.network):
        _one(found, interface, f"network[{number}]", say)
    # Members of a bond or bridge and parents of a VLAN must be there, too.
    for inner in [*found.get("bonds", {}).values(), *found.get("bridges", {}).values()]:
        for member in inner["interfaces"]:
            found.setdefault("ethernets", {}).setdefault(member, {})
    known = {name for kind in found.values() for name in kind}
    for inner in found.get("vlans", {}).values():
        if inner["link"] not in known:
            found.setdefault("ethernets", {})[inner["link"]] = {}
    return {"version": 2, **found}


def _one(found: dict[str, dict[str, Any]], interface: Interface, where: str, say: Say) -> None:
    made = interface.bond_slaves or interface.bridge_slaves or interface.team_slaves
    if interface.method is Method.NONE and not made and interface.vlan is None:
        return  # one that is made is there without addresses, too: for the VLANs on it
    if interface.method in (Method.QUERY, Method.IBFT):
        say(Finding(f"netplan has no {interface.method}; use dhcp or static", f"{where}.method"))
    if interface.team_slaves or interface.team_config:
        say(Finding("netplan has no teams; use a bond", f"{where}.team_slaves"))
    values = _addresses(interface, where, say)
    device = interface.device
    if interface.vlan is not None:
        name = interface.name or f"{device}.{interface.vlan}"
        found.setdefault("vlans", {})[name] = {"id": interface.vlan, "link": device, **values}
    elif interface.bond_slaves:
        bond = {"interfaces": list(interface.bond_slaves), **values}
        if interface.bond_options:
            bond["parameters"] = _options(interface.bond_options)
        found.setdefault("bonds", {})[device or "bond0"] = bond
    elif interface.bridge_slaves:
        bridge = {"interfaces": list(interface.bridge_slaves), **values}
        found.setdefault("bridges", {})[device or "br0"] = bridge
    elif device is None or device in ("link", "bootif"):
        found.setdefault("ethernets", {})["any"] = {**_ANY, **values}
    elif MAC.match(device):
        mac = device.lower().replace("-", ":")
        name = "m" + mac.replace(":", "")
        found.setdefault("ethernets", {})[name] = {"match": {"macaddress": mac}, **values}
    else:
        found.setdefault("ethernets", {})[device] = values


def _addresses(interface: Interface, where: str, say: Say) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if interface.method in (Method.DHCP, Method.BOOTP) and not interface.no_ipv4:
        values["dhcp4"] = True
    if interface.method is Method.STATIC and interface.no_ipv4:
        say(Finding("an address, and no IPv4", f"{where}.no_ipv4"))
    if interface.method is Method.STATIC:
        values["dhcp4"] = False
        length = prefix_of(interface, where, say)
        values["addresses"] = [f"{interface.address}/{length}"]
        if interface.gateway and not interface.no_default_route:
            values["routes"] = [{"to": "0.0.0.0/0", "via": interface.gateway}]
    _six(values, interface)
    names = {
        key: list(given)
        for key, given in (("addresses", interface.name_servers), ("search", interface.dns_search))
        if given
    }
    if names:
        values["nameservers"] = names
    if interface.mtu:
        values["mtu"] = interface.mtu
    if interface.onboot is False:
        values["optional"] = True
    return values


def _six(values: dict[str, Any], interface: Interface) -> None:
    if interface.no_ipv6:
        values["dhcp6"], values["accept-ra"] = False, False
    elif interface.ipv6 == "dhcp":
        values["dhcp6"] = True
    elif interface.ipv6 and interface.ipv6 != "auto":
        values.setdefault("addresses", []).append(interface.ipv6)
        if interface.ipv6_gateway:
            values.setdefault("routes", []).append({"to": "::/0", "via": interface.ipv6_gateway})


def prefix_of(interface: Interface, where: str, say: Say) -> int:
    """Bits of a static address's network."""
    if not interface.address or not interface.netmask:
        say(Finding("a static address needs address and netmask", where))
        return 32
    try:
        return IPv4Network(f"0.0.0.0/{interface.netmask}").prefixlen
    except (AddressValueError, NetmaskValueError):
        say(Finding(f"{interface.netmask} is no netmask", f"{where}.netmask"))
        return 32


def _options(text: str) -> dict[str, Any]:
    """Bonding options by netplan's names: mode=802.3ad,miimon=100."""
    names = {
        "miimon": "mii-monitor-interval",
        "lacp_rate": "lacp-rate",
        "xmit_hash_policy": "transmit-hash-policy",
    }
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {names.get(name, name): int(value) if value.isdigit() else value for name, _, value in pairs}
