"""The tables of the configuration file as records: what may be written, and what it is when it is not.

Only shapes; whether values make sense is for `config_checks` to say.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from images.layout_parse import parse_size


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every table of the file keeps to."""


class Dhcp(Section, frozen=True):
    """`options` are the appliance's own; subnet, group and node override them."""

    enabled: bool = True
    port: int = 67
    proxy_port: int = 4011
    options: dict[str, Any] = {}
    force: bool = False  # be the authority even though another DHCP server answers
    check_addresses: bool = True  # look for a user of an address (ARP, ICMP) before offering it from a pool


class Tftp(Section, frozen=True):
    enabled: bool = True
    port: int = 69


class DnsRecord(Section, frozen=True):
    """One row of `[[dns.records]]`; see `dnsrecords`."""

    name: str
    type: str
    data: str
    ttl: int | None = None


class Dns(Section, frozen=True):
    """Needs `domain`. `forward`: where names of others are asked; empty: only our own names are answered."""

    enabled: bool = True
    port: int = 53
    forward: tuple[str, ...] = ()
    records: tuple[DnsRecord, ...] = ()  # beside those of the nodes


class Http(Section, frozen=True):
    """`address`: where to listen. Unset: on this machine and on the addresses of the listed interfaces.
    `tls_port`: the same over HTTPS, with `certificate` and `key` (PEM files), or with a pair made here.
    """

    enabled: bool = True
    port: int = 8080
    address: str | None = None
    tls_port: int | None = None
    certificate: str | None = None
    key: str | None = None


class Syslog(Section, frozen=True):
    """Where installers send their logs: UDP and TCP, and nobody but machines that are being installed."""

    enabled: bool = True
    port: int = 514


class Install(Section, frozen=True):
    """Installations by the distributions' own installers. `patience`: seconds without a sign of life."""

    patience: int = 1800


class Nfs(Section, frozen=True):
    """Roots over NFS. `backend`: `kernel`, `ganesha`, or `auto`: the kernel's server where it runs. The
    ports are ganesha's."""

    enabled: bool = True  # nothing is started before a node needs it
    backend: Literal["auto", "kernel", "ganesha"] = "auto"
    port: int = 2049
    mount_port: int = 20048  # of the mount protocol that NFS version 3 begins with


class NodeDefaults(Section, frozen=True):
    """What is written into every node that is imaged, and what unknown machines get."""

    ssh_authorized_keys: tuple[str, ...] = ()
    root_password_hash: str | None = None  # as in /etc/shadow
    image: str | None = None  # for nodes that are registered without one
    discover: bool = True  # unknown machines boot the imager and show up in the list
    hosts: bool = True  # write the names of all nodes into each node's /etc/hosts
    max_attempts: int = 5  # boots on one arming before the node is held for a person


class Imager(Section, frozen=True):
    """The RAM system on the node. `console`: kernel consoles, the last one is /dev/console."""

    console: tuple[str, ...] = ("tty0", "ttyS0,115200n8")
    kernel_args: str = ""
    layout: dict[str, Any] | None = None  # disk layout; None: images.layout_parse's default
    image_layouts: dict[str, str] = {}  # image name -> name of a layout, for nodes without one of their own
    finish: str = "reboot"  # what a node does after imaging: reboot, kexec, poweroff


class Mirror(Section, frozen=True):
    """A package archive that is fetched from for machines that are installed. `upstream`: its address, or
    several that have the same; `proxy`: how they are reached, unset: as the environment says."""

    upstream: str | tuple[str, ...]
    proxy: str | None = None

    @property
    def upstreams(self) -> tuple[str, ...]:
        return (self.upstream,) if isinstance(self.upstream, str) else self.upstream


class PackageCache(Section, frozen=True):
    """What of those archives is kept: at most `size`."""

    size: str | int = "50G"

    @property
    def bytes(self) -> int:
        return parse_size(self.size).fixed


class Nbd(Section, frozen=True):
    """Roots as network block devices. `cache_size`: bytes of disk for unpacked blocks that all nodes share;
    `processes`: 0: as many as there are processors, at most four."""

    enabled: bool = True
    port: int = 10809
    cache_size: str | int = "8G"
    processes: int = 0

    @property
    def cache_bytes(self) -> int:
        return parse_size(self.cache_size).fixed


class File(Section, frozen=True):
    data_dir: str = "/var/lib/bootsrv"
    interfaces: tuple[str, ...] = ()
    domain: str = ""
    subnets: tuple[dict[str, Any], ...] = ()
    payload_dir: str | None = None
    dhcp: Dhcp = Dhcp()
    tftp: Tftp = Tftp()
    dns: Dns = Dns()
    http: Http = Http()
    nfs: Nfs = Nfs()
    nodes: NodeDefaults = NodeDefaults()
    imager: Imager = Imager()
    layouts: dict[str, dict[str, Any]] = {}
    mirrors: dict[str, Mirror] = {}
    cache: PackageCache = PackageCache()
    syslog: Syslog = Syslog()
    install: Install = Install()
    nbd: Nbd = Nbd()
