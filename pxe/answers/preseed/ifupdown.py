"""What Debian's installer cannot ask: bonds, bridges, VLANs and further cards, for /etc/network/interfaces.

netcfg sets up one card, which serves the installation; the installed system gets all of them by a late
command. A value has its own line there, and a backslash at a line's end would join the next: it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pxe.answers.cloud.netplan import MAC, prefix_of
from pxe.answers.errors import Finding
from pxe.answers.network import Interface, Method
from pxe.answers.profile import Profile
from pxe.answers.shell import heredoc

Say = Callable[[Finding], None]
_PLACE = "/etc/network/interfaces"


def needed(profile: Profile) -> bool:
    """Whether netcfg is not enough."""
    return len(profile.network) > 1 or any(_made(one) or _beyond(one) for one in profile.network)


def first_card(profile: Profile) -> Interface:
    """The card that the installer uses: the first that is one, else whichever has a link."""
    cards = (one for one in profile.network if not _made(one) and one.method is not Method.NONE)
    return next(cards, Interface())


def packages(profile: Profile) -> Iterator[str]:
    """What the installed system needs for it."""
    if any(one.bond_slaves for one in profile.network):
        yield "ifenslave"
    if any(one.vlan is not None for one in profile.network):
        yield "vlan"
    if any(one.bridge_slaves for one in profile.network):
        yield "bridge-utils"


def script(profile: Profile, say: Say) -> str:
    """Shell that writes the file in the installed system."""
    lines = ["auto lo", "iface lo inet loopback"]
    for number, one in enumerate(profile.network):
        lines += ["", *_interface(one, f"network[{number}]", say)]
    for line in lines:
        if line.endswith("\\"):
            say(Finding("a backslash at the end would join the next line", "network"))
    return heredoc(_PLACE, "\n".join(lines) + "\n")


def _made(one: Interface) -> bool:
    return bool(one.bond_slaves or one.bridge_slaves or one.team_slaves or one.vlan is not None)


def _beyond(one: Interface) -> bool:
    """Whether netcfg has no question for what is wanted of a card."""
    six = one.ipv6 not in (None, "auto") or one.no_ipv6
    return bool(six or one.mtu or one.onboot is False or one.no_default_route or one.no_ipv4 or one.dns_search
                or one.method is Method.NONE)  # fmt: skip


def _interface(one: Interface, where: str, say: Say) -> Iterator[str]:
    if one.team_slaves or one.team_config:
        say(Finding("Debian has no teams; use a bond", f"{where}.team_slaves"))
    name = one.device
    if one.bond_slaves or one.bridge_slaves:
        name = name or ("bond0" if one.bond_slaves else "br0")
    if name is None or name in ("link", "bootif") or MAC.match(name):
        what = "beside others, or with more than an address, a card must be named as the system names it"
        say(Finding(what, f"{where}.device"))
    if one.vlan is not None:
        parent, name = name, one.name or f"{name}.{one.vlan}"
    for slave in one.bond_slaves or one.bridge_slaves:
        yield from (f"auto {slave}", f"iface {slave} inet manual")
    yield f"{'allow-hotplug' if one.onboot is False else 'auto'} {name}"
    yield from _addresses(one, str(name), where, say)
    if one.vlan is not None:
        yield f"    vlan-raw-device {parent}"
    if one.bond_slaves:
        yield f"    bond-slaves {' '.join(one.bond_slaves)}"
        pairs = (part.partition("=") for part in (one.bond_options or "").split(",") if part)
        yield from (f"    bond-{key.replace('_', '-')} {value}" for key, _, value in pairs)
    if one.bridge_slaves:
        yield f"    bridge_ports {' '.join(one.bridge_slaves)}"
    if one.dns_search:
        yield f"    dns-search {' '.join(one.dns_search)}"
    if one.mtu:
        yield f"    mtu {one.mtu}"
    if one.ipv6 in ("auto", "dhcp") and not one.no_ipv6:
        yield f"iface {name} inet6 {one.ipv6}"
    elif one.ipv6 and not one.no_ipv6:
        yield from (f"iface {name} inet6 static", f"    address {one.ipv6}")
        yield from ([f"    gateway {one.ipv6_gateway}"] if one.ipv6_gateway else [])


def _addresses(one: Interface, name: str, where: str, say: Say) -> Iterator[str]:
    if one.method in (Method.QUERY, Method.IBFT):
        say(Finding(f"Debian has no {one.method}; use dhcp or static", f"{where}.method"))
    if one.method is Method.STATIC:
        length = prefix_of(one, where, say)
        yield from (f"iface {name} inet static", f"    address {one.address}/{length}")
        if one.gateway and not one.no_default_route:
            yield f"    gateway {one.gateway}"
        if one.name_servers:
            yield f"    dns-nameservers {' '.join(one.name_servers)}"
        return
    if one.name_servers:
        say(Finding("beside DHCP, Debian has no place for it", f"{where}.name_servers"))
    silent = one.method is Method.NONE or one.no_ipv4
    yield f"iface {name} inet {'manual' if silent else 'dhcp'}"
