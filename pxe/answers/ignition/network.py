"""A profile's interfaces as NetworkManager's keyfiles, which is what CoreOS reads: one file each.

A keyfile has one value to a line and lists by `;`: a value with one of those, or a backslash, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from pxe.answers.cloud.netplan import MAC, prefix_of
from pxe.answers.errors import Finding
from pxe.answers.network import Interface, Method
from pxe.answers.profile import Profile

Say = Callable[[Finding], None]
Sections = dict[str, dict[str, str]]
_SPECIAL = re.compile(r"[;\\]")


def keyfiles(profile: Profile, say: Say) -> Mapping[str, str]:
    """Texts by the connections' names."""
    files: dict[str, str] = {}
    for number, interface in enumerate(profile.network):
        if interface.method is Method.NONE and not interface.bond_slaves:
            continue
        for name, sections in _connections(interface, f"network[{number}]", say):
            files[name] = _text(sections, f"network[{number}]", say)
    return files


def _connections(interface: Interface, where: str, say: Say) -> Iterator[tuple[str, Sections]]:
    if interface.team_slaves or interface.team_config:
        say(Finding("teams are gone from NetworkManager; use a bond", f"{where}.team_slaves"))
    if interface.method in (Method.QUERY, Method.IBFT):
        say(Finding(f"NetworkManager has no {interface.method}; use dhcp or static", f"{where}.method"))
    device = interface.device if interface.device not in ("link", "bootif") else None
    name = interface.name or device or "any"
    sections: Sections = {"connection": {"id": name, "type": "ethernet"}, **_addresses(interface, where, say)}
    if interface.vlan is not None:
        name = interface.name or f"{device}.{interface.vlan}"
        sections["connection"] = {"id": name, "type": "vlan", "interface-name": name}
        sections["vlan"] = {"id": str(interface.vlan), "parent": device or ""}
    elif interface.bond_slaves or interface.bridge_slaves:
        kind = "bond" if interface.bond_slaves else "bridge"
        name = device or f"{kind}0"
        sections["connection"] = {"id": name, "type": kind, "interface-name": name}
        sections[kind] = _options(interface.bond_options if kind == "bond" else interface.bridge_options)
        for slave in interface.bond_slaves or interface.bridge_slaves:
            port = {
                "id": slave,
                "type": "ethernet",
                "interface-name": slave,
                "master": name,
                "slave-type": kind,
            }
            yield slave, {"connection": port}
    elif device is not None and MAC.match(device):
        sections["ethernet"] = {"mac-address": device.upper().replace("-", ":")}
        name = sections["connection"]["id"] = device.replace(":", "").replace("-", "").lower()
    elif device is not None:
        sections["connection"]["interface-name"] = device
    if interface.mtu:
        sections.setdefault("ethernet", {})["mtu"] = str(interface.mtu)
    yield name.replace("/", "_"), sections


def _addresses(interface: Interface, where: str, say: Say) -> Sections:
    four = {"method": "auto"}
    if interface.no_ipv4 or interface.method is Method.NONE:
        four = {"method": "disabled"}
    elif interface.method is Method.STATIC:
        length = prefix_of(interface, where, say)
        four = {"method": "manual", "address1": f"{interface.address}/{length}"}
        if interface.gateway and not interface.no_default_route:
            four["gateway"] = interface.gateway
    if interface.name_servers:
        four["dns"] = "".join(f"{server};" for server in interface.name_servers if ":" not in server)
    if interface.dns_search:
        four["dns-search"] = "".join(f"{name};" for name in interface.dns_search)
    six = {"method": "disabled" if interface.no_ipv6 else "auto"}
    if interface.ipv6 and interface.ipv6 not in ("auto", "dhcp"):
        six = {"method": "manual", "address1": interface.ipv6}
        six |= {"gateway": interface.ipv6_gateway} if interface.ipv6_gateway else {}
    elif interface.ipv6 == "dhcp":
        six = {"method": "dhcp"}
    return {"ipv4": four, "ipv6": six}


def _options(text: str | None) -> dict[str, str]:
    pairs = (part.partition("=") for part in (text or "").split(",") if part)
    return {name: value for name, _, value in pairs}


def _text(sections: Sections, where: str, say: Say) -> str:
    lines = []
    for title, values in sections.items():
        lines += [f"[{title}]"]
        for key, value in values.items():
            plain = value.replace(";", "") if key in ("dns", "dns-search") else value
            if _SPECIAL.search(plain) or _SPECIAL.search(key) or key.startswith("["):
                say(Finding(f"{value!r} cannot be written for NetworkManager", where))
            lines.append(f"{key}={value}")
    return "\n".join(lines) + "\n"
