"""Network configuration in the image's own style: systemd-networkd, netplan, NetworkManager or ifupdown.

Pure: an Identity in, files (path -> text, mode) out. The card is matched by its permanent MAC, since names
differ between the imager's kernel and the image's; a disk that was made for no certain machine (no MAC) takes
whatever wired card there is. DHCP identifies itself by MAC in every style: a client
identifier made from the fresh machine-id would look like another machine to the server. Python 3.8,
standard library only.
"""

from __future__ import annotations

import uuid
from typing import Dict, NamedTuple

from images.agent.identity import Identity

CARD = "lan0"  # the name that ifupdown configurations use; a .link file gives it to the card


class File(NamedTuple):
    """What to write."""

    text: str
    mode: int = 0o644


Files = Dict[str, File]
HEADER = "# Written by bootsrv when this machine was imaged.\n"


def networkd(node: Identity) -> Files:
    """systemd-networkd (Type and Kind keep bridges and VLANs, which inherit the MAC, out)."""
    lines = [HEADER + "[Match]", _match(node), "Type=ether", "", "[Network]"]
    if node.method == "static" and node.address:
        lines += [f"Address={node.address}"]
        lines += [f"Gateway={node.gateway}"] if node.gateway else []
        lines += [f"DNS={server}" for server in node.dns]
        lines += [f"Domains={' '.join(node.search)}"] if node.search else []
    else:
        lines += ["DHCP=ipv4", "", "[DHCPv4]", "ClientIdentifier=mac", "UseDomains=yes"]
    return {"/etc/systemd/network/05-bootsrv.network": File("\n".join(lines) + "\n")}


def netplan(node: Identity) -> Files:
    """netplan YAML; readable by root only, as netplan demands."""
    lines = [HEADER + "network:", "  version: 2", "  ethernets:", "    bootsrv:", "      match:"]
    lines += [f'        macaddress: "{node.mac}"' if node.mac else '        name: "e*"']
    if node.method == "static" and node.address:
        lines += ["      dhcp4: false", f'      addresses: ["{node.address}"]']
        if node.gateway:
            lines += ["      routes:", "        - to: default", f'          via: "{node.gateway}"']
        if node.dns or node.search:
            lines += ["      nameservers:"]
            lines += [f"        addresses: [{_quoted(node.dns)}]"] if node.dns else []
            lines += [f"        search: [{_quoted(node.search)}]"] if node.search else []
    else:
        lines += ["      dhcp4: true", "      dhcp-identifier: mac"]
    return {"/etc/netplan/90-bootsrv.yaml": File("\n".join(lines) + "\n", 0o600)}


def networkmanager(node: Identity) -> Files:
    """A keyfile; NetworkManager ignores one that others can read."""
    name = uuid.uuid5(uuid.NAMESPACE_DNS, f"{node.mac}.bootsrv")
    lines = [HEADER + "[connection]", "id=bootsrv", f"uuid={name}", "type=ethernet"]
    lines += ["autoconnect-priority=100", "", "[ethernet]"]
    lines += [*([f"mac-address={node.mac}"] if node.mac else []), "", "[ipv4]"]
    if node.method == "static" and node.address:
        lines += ["method=manual", f"address1={node.address}" + (f",{node.gateway}" if node.gateway else "")]
        lines += [f"dns={''.join(f'{server};' for server in node.dns)}"] if node.dns else []
        lines += [f"dns-search={''.join(f'{name};' for name in node.search)}"] if node.search else []
    else:
        lines += ["method=auto", "dhcp-client-id=mac"]
    lines += ["", "[ipv6]", "method=auto"]
    return {
        "/etc/NetworkManager/system-connections/bootsrv.nmconnection": File("\n".join(lines) + "\n", 0o600)
    }


def ifupdown(node: Identity) -> Files:
    """/etc/network/interfaces, which knows cards by name only: a .link file names ours by its MAC."""
    match = _match(node) if node.mac else "OriginalName=e*"
    link = HEADER + f"[Match]\n{match}\nType=ether\n\n[Link]\nName={CARD}\n"
    lines = [HEADER + f"auto {CARD}"]
    if node.method == "static" and node.address:
        lines += [f"iface {CARD} inet static", f"    address {node.address}"]
        lines += [f"    gateway {node.gateway}"] if node.gateway else []
        lines += [f"    dns-nameservers {' '.join(node.dns)}"] if node.dns else []
        lines += [f"    dns-search {' '.join(node.search)}"] if node.search else []
    else:
        lines += [f"iface {CARD} inet dhcp"]
    main = HEADER + "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/*\n"
    return {
        "/etc/systemd/network/05-bootsrv.link": File(link),
        "/etc/network/interfaces": File(main),
        "/etc/network/interfaces.d/bootsrv": File("\n".join(lines) + "\n"),
    }


def resolv_conf(node: Identity) -> str:
    """For systems where nothing else writes it."""
    lines = [f"search {' '.join(node.search)}"] if node.search else []
    return HEADER + "\n".join([*lines, *(f"nameserver {server}" for server in node.dns)]) + "\n"


def _match(node: Identity) -> str:
    return f"PermanentMACAddress={node.mac}" if node.mac else "Name=e*"


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)


STYLES = {"networkd": networkd, "netplan": netplan, "networkmanager": networkmanager, "ifupdown": ifupdown}
