"""How an installed machine gets its addresses: one record per interface, bonds and VLANs among them."""

from __future__ import annotations

from enum import StrEnum

from pxe.answers.text import Count, Device, Host, Item, Line, Section


class Method(StrEnum):
    """The four address methods, in the installer's terms."""

    DHCP = "dhcp"
    BOOTP = "bootp"
    STATIC = "static"
    NONE = "none"  # left alone: no address, or only what the image has
    QUERY = "query"  # asked for by the installer
    IBFT = "ibft"  # taken from the firmware's iSCSI table


class Interface(Section, frozen=True, kw_only=True):
    """One interface. `device`: a name, a MAC, "link" or "bootif"; None: the one that was booted from."""

    device: Device | None = None
    method: Method = Method.DHCP
    address: Item | None = None  # IPv4
    netmask: Item | None = None
    gateway: Item | None = None
    name_servers: tuple[Item, ...] = ()
    hostname: Host | None = None
    ipv6: Item | None = None  # "auto", "dhcp", or address/prefix
    ipv6_gateway: Item | None = None
    no_ipv4: bool = False
    no_ipv6: bool = False
    onboot: bool | None = None  # None: the installer's default
    activate: bool = False
    no_activate: bool = False
    no_default_route: bool = False
    no_dns: bool = False
    mtu: Count | None = None
    dhcp_class: Line | None = None
    ethtool: Line | None = None
    name: Device | None = None  # of the connection or interface to be made, e.g. "bond0", "vlan171"
    bond_slaves: tuple[Item, ...] = ()
    bond_options: Line | None = None  # "mode=active-backup,miimon=100"
    bridge_slaves: tuple[Item, ...] = ()
    bridge_options: Line | None = None
    team_slaves: Line | None = None
    team_config: Line | None = None
    vlan: Count | None = None
    bind_to: Item | None = None  # "mac"
    dns_search: tuple[Item, ...] = ()
    essid: Line | None = None
    not_installer_device: bool = False
