"""The profile's interfaces as AutoYaST's `networking`. A card that is named by its MAC gets a name by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pxe.answers.autoyast.xml import Items
from pxe.answers.cloud.netplan import MAC, prefix_of
from pxe.answers.errors import Finding
from pxe.answers.network import Interface, Method
from pxe.answers.profile import Profile

Say = Callable[[Finding], None]
Values = dict[str, Any]
_MOST_SLAVES = 10


def networking(profile: Profile, say: Say) -> Values:
    """The section."""
    values: Values = {"keep_install_network": not profile.network}
    interfaces, rules, routes = Items("interface", []), Items("rule", []), Items("route", [])
    for number, one in enumerate(profile.network):
        name = one.device if one.device not in (None, "link", "bootif") else f"eth{number}"
        if name is not None and MAC.match(name):
            mac, name = name.lower().replace("-", ":"), f"eth{number}"
            rules.append({"rule": "ATTR{address}", "value": mac, "name": name})
        interfaces += _interfaces(one, str(name), f"network[{number}]", say)
        if one.gateway and not one.no_default_route:
            routes.append({"destination": "default", "gateway": one.gateway, "netmask": "-", "device": "-"})
    values["dns"] = _dns(profile)
    for key, many in (("interfaces", interfaces), ("net-udev", rules)):
        values |= {key: many} if many else {}
    values |= {"routing": {"routes": routes}} if routes else {}
    return values


def _dns(profile: Profile) -> Values:
    name = profile.hostname or next((one.hostname for one in profile.network if one.hostname), None)
    servers = dict.fromkeys(server for one in profile.network for server in one.name_servers)
    search = dict.fromkeys(domain for one in profile.network for domain in one.dns_search)
    values: Values = {"dhcp_hostname": name is None}
    if name:
        host, _, domain = name.partition(".")
        values |= {"hostname": host, **({"domain": domain} if domain else {})}
    values |= {"nameservers": Items("nameserver", servers)} if servers else {}
    values |= {"searchlist": Items("search", search)} if search else {}
    return values


def _interfaces(one: Interface, name: str, where: str, say: Say) -> list[Values]:
    if one.team_slaves or one.team_config:
        say(Finding("AutoYaST makes no teams; use a bond", f"{where}.team_slaves"))
    if one.method in (Method.QUERY, Method.IBFT):
        say(Finding(f"AutoYaST has no {one.method}; use dhcp or static", f"{where}.method"))
    values = {"name": name, **_addresses(one, where, say)}
    if one.vlan is not None:
        values |= {"name": one.name or f"{name}.{one.vlan}", "etherdevice": name, "vlan_id": str(one.vlan)}
    if len(one.bond_slaves) > _MOST_SLAVES:
        say(Finding(f"AutoYaST takes at most {_MOST_SLAVES}", f"{where}.bond_slaves"))
    if one.bond_slaves:
        values |= {"bonding_master": "yes"}
        values |= {f"bonding_slave{place}": slave for place, slave in enumerate(one.bond_slaves)}
        if one.bond_options:
            values["bonding_module_opts"] = one.bond_options.replace(",", " ")
    elif one.bridge_slaves:
        values |= {"bridge": "yes", "bridge_ports": " ".join(one.bridge_slaves)}
    slaves = one.bond_slaves or one.bridge_slaves
    return [*({"name": slave, "bootproto": "none", "startmode": "auto"} for slave in slaves), values]


def _addresses(one: Interface, where: str, say: Say) -> Values:
    values: Values = {"bootproto": "dhcp", "startmode": "auto" if one.onboot is not False else "manual"}
    if one.method is Method.NONE:
        values["bootproto"] = "none"
    elif one.method is Method.STATIC:
        length = prefix_of(one, where, say)
        values |= {"bootproto": "static", "ipaddr": one.address or "", "prefixlen": str(length)}
    elif one.no_ipv4:
        values["bootproto"] = "dhcp6"
    if one.ipv6 and one.ipv6 not in ("auto", "dhcp"):
        address, _, bits = one.ipv6.partition("/")
        values["aliases"] = {"alias0": {"IPADDR": address, "PREFIXLEN": bits or "64"}}
    if one.mtu:
        values["mtu"] = str(one.mtu)
    return values
