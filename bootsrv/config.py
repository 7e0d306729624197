"""One TOML file into frozen, validated records. What is wrong is refused at start with one line: FILE: key
K: reason.

Unknown keys are errors: a misspelt `interfaces` must not silently answer nobody. Nothing here is global; the
Config is passed in. The DHCP side of a subnet is checked by `pxe.dhcp.subnet`, which owns its meaning.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from bootsrv import dnsrecords
from bootsrv.errors import ConfigError
from images.errors import ImageError
from images.layout_parse import parse_layout, parse_size
from images.versions import split_ref
from pxe.dhcp.subnet import Subnet, build_subnet, check_together
from pxe.errors import SettingError

DEFAULT_FILE = Path("/etc/bootsrv/bootsrv.toml")
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\Z")
_INTERFACE = re.compile(r"[^\s/]{1,15}\Z")
_HASH = re.compile(r"\$[0-9a-z]+\$[\x21-\x39\x3b-\x7e]+\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_WORD = re.compile(r"[\x21-\x7e]+\Z")


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


class _File(Section, frozen=True):
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


class Config(msgspec.Struct, frozen=True):
    """The whole configuration, valid."""

    path: Path
    data_dir: Path
    payload_dir: Path
    interfaces: tuple[str, ...]
    domain: str
    subnets: tuple[Subnet, ...]
    dhcp: Dhcp
    tftp: Tftp
    dns: Dns
    http: Http
    nodes: NodeDefaults
    imager: Imager
    layouts: dict[str, dict[str, Any]] = {}  # by name, each good
    mirrors: dict[str, Mirror] = {}
    cache: PackageCache = PackageCache()
    syslog: Syslog = Syslog()
    install: Install = Install()
    nbd: Nbd = Nbd()
    nfs: Nfs = Nfs()

    @property
    def registry_file(self) -> Path:
        return self.data_dir / "registry.db"

    @property
    def store_dir(self) -> Path:
        return self.data_dir / "store"

    @property
    def trees_dir(self) -> Path:
        return self.data_dir / "trees"

    @property
    def mirrors_dir(self) -> Path:
        return self.data_dir / "mirrors"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"

    @property
    def public_dir(self) -> Path:
        return self.data_dir / "public"

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    def subnet_of(self, address: IPv4Address) -> Subnet | None:
        """The subnet an address belongs to."""
        return next((subnet for subnet in self.subnets if address in subnet.cidr), None)


def find_file(given: str | None) -> Path:
    """The configuration file: --config, then $BOOTSRV_CONFIG, then the usual place."""
    return Path(given or os.environ.get("BOOTSRV_CONFIG") or DEFAULT_FILE)


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with one line."""
    try:
        text = path.read_bytes().decode("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return parse(table, path)


def parse(table: Mapping[str, Any], path: Path) -> Config:
    """A table as TOML gives it into a Config. Raises ConfigError."""
    try:
        raw = msgspec.convert(dict(table), _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(str(error))}") from error
    try:
        _check(raw)
        subnets = _subnets(raw)
    except SettingError as error:
        raise ConfigError(f"{path}: key {error.key}: {error.reason}") from error
    payload = Path(raw.payload_dir) if raw.payload_dir else Path(sys.prefix) / "share" / "bootsrv"
    return Config(
        path, Path(raw.data_dir), payload, raw.interfaces, raw.domain.lower(), subnets,
        raw.dhcp, raw.tftp, raw.dns, raw.http, raw.nodes, raw.imager, raw.layouts,
        raw.mirrors, raw.cache, raw.syslog, raw.install, raw.nbd, raw.nfs,
    )  # fmt: skip


def _subnets(raw: _File) -> tuple[Subnet, ...]:
    built = []
    for place, table in enumerate(raw.subnets):
        options = table.get("options", {})
        merged = {
            **table,
            "options": {**raw.dhcp.options, **options} if isinstance(options, dict) else options,
        }
        try:
            subnet = build_subnet(merged)
        except SettingError as error:
            own = not error.key.startswith("options.") or error.key.removeprefix("options.") in options
            raise SettingError(
                f"subnets[{place}].{error.key}" if own else f"dhcp.{error.key}", error.reason
            ) from error
        if subnet.interface is not None and subnet.interface not in raw.interfaces:
            raise SettingError(
                f"subnets[{place}].interface", f"{subnet.interface!r} is not listed in `interfaces`"
            )
        built.append(subnet)
    check_together(built)
    return tuple(built)


def _check(raw: _File) -> None:
    for key in ("data_dir", "payload_dir"):
        value = getattr(raw, key)
        if value is not None and not value.startswith("/"):
            raise SettingError(key, f"must be an absolute path, not {value!r}")
    for place, name in enumerate(raw.interfaces):
        if not _INTERFACE.match(name) or name in (".", ".."):
            raise SettingError(f"interfaces[{place}]", f"{name!r} cannot be the name of an interface")
        if name in raw.interfaces[:place]:
            raise SettingError(f"interfaces[{place}]", f"{name!r} is listed twice")
    if raw.domain and not _DOMAIN.match(raw.domain.lower()):
        raise SettingError("domain", f"{raw.domain!r} is not a domain name")
    if raw.dns.records and not raw.domain:
        raise SettingError("dns.records", "needs a `domain` that they are in")
    dnsrecords.table(raw.dns.records, raw.domain.lower())
    _check_ports(raw)
    if raw.install.patience < 60:
        raise SettingError("install.patience", "is less than a minute: slower than that are all installers")
    _check_nodes(raw)
    _check_imager(raw)
    _check_mirrors(raw)
    _check_nbd(raw)


_UDP = ("dhcp", "tftp", "dns", "syslog")


def _check_ports(raw: _File) -> None:
    for name in ("dhcp", "tftp", "dns", "http", "syslog", "nbd"):
        port = getattr(raw, name).port
        if not 1 <= port <= 65535:
            raise SettingError(f"{name}.port", f"{port} is not between 1 and 65535")
    for key, port in (("port", raw.nfs.port), ("mount_port", raw.nfs.mount_port)):
        if not 1 <= port <= 65535:
            raise SettingError(f"nfs.{key}", f"{port} is not between 1 and 65535")
        if raw.nfs.enabled and raw.http.enabled and port == raw.http.port:
            raise SettingError(f"nfs.{key}", f"{port} is used by [http] of this file")
    if raw.nfs.port == raw.nfs.mount_port:
        raise SettingError("nfs.mount_port", "must differ from nfs.port")
    if not 1 <= raw.dhcp.proxy_port <= 65535:
        raise SettingError("dhcp.proxy_port", f"{raw.dhcp.proxy_port} is not between 1 and 65535")
    if raw.dhcp.enabled and raw.dhcp.port == raw.dhcp.proxy_port:
        raise SettingError("dhcp.proxy_port", "must differ from dhcp.port")
    _check_tls(raw.http)
    udp = {name: getattr(raw, name).port for name in _UDP if getattr(raw, name).enabled}
    for name, port in udp.items():
        if any(port == other for key, other in udp.items() if key < name):
            raise SettingError(f"{name}.port", f"{port} is used by another service of this file")
    for key, value in [("http.address", raw.http.address), *_forwards(raw)]:
        if value is not None and not _is_address(value):
            raise SettingError(key, f"{value!r} is not an IP address")


def _check_tls(http: Http) -> None:
    port = http.tls_port
    if port is not None and (not 1 <= port <= 65535 or port == http.port):
        raise SettingError("http.tls_port", f"{port} is not between 1 and 65535, or is http.port as well")
    if (http.certificate is None) != (http.key is None):
        raise SettingError("http.key", "certificate and key belong together: give both, or none")
    if http.certificate is not None and port is None:
        raise SettingError("http.certificate", "is of no use without http.tls_port")


def _forwards(raw: _File) -> list[tuple[str, str | None]]:
    return [(f"dns.forward[{place}]", value) for place, value in enumerate(raw.dns.forward)]


def _check_nodes(raw: _File) -> None:
    for place, key in enumerate(raw.nodes.ssh_authorized_keys):
        if len(key.split()) < 2 or not key.strip().isprintable():
            raise SettingError(
                f"nodes.ssh_authorized_keys[{place}]", "is not one line of an authorized_keys file"
            )
    hashed = raw.nodes.root_password_hash
    if hashed is not None and not _HASH.match(hashed):
        raise SettingError("nodes.root_password_hash", "is not a hash as in /etc/shadow (mkpasswd makes one)")
    if not 1 <= raw.nodes.max_attempts <= 100:
        raise SettingError("nodes.max_attempts", "is not between 1 and 100")
    if raw.nodes.image is not None:
        try:
            split_ref(raw.nodes.image)
        except ImageError as error:
            raise SettingError("nodes.image", str(error)) from error


def _check_imager(raw: _File) -> None:
    if raw.imager.finish not in ("reboot", "kexec", "poweroff"):
        raise SettingError("imager.finish", f"{raw.imager.finish!r} is none of reboot, kexec, poweroff")
    for place, console in enumerate(raw.imager.console):
        if not _WORD.match(console):
            raise SettingError(f"imager.console[{place}]", f"{console!r} is not a kernel console")
    words = [("kernel_args", word) for word in raw.imager.kernel_args.split()]
    for key, word in [*words, *(("console", word) for word in raw.imager.console)]:
        if not _WORD.match(word) or "${" in word or word in ("||", "&&"):  # what an iPXE script cannot hold
            raise SettingError(f"imager.{key}", f"{word!r}: only printable ASCII, without ${{, || and &&")
    named = [(f"layouts.{name}", layout) for name, layout in raw.layouts.items()]
    if raw.imager.layout is not None:
        named.append(("imager.layout", raw.imager.layout))
    for key, layout in named:
        try:
            parse_layout(layout)
        except ImageError as error:
            raise SettingError(key, str(error)) from error
    for image, name in raw.imager.image_layouts.items():
        if name not in raw.layouts:
            raise SettingError(f"imager.image_layouts.{image}", f"there is no layout {name!r} in [layouts]")


def _check_mirrors(raw: _File) -> None:
    for name, mirror in raw.mirrors.items():
        if not _NAME.match(name):
            raise SettingError(f"mirrors.{name}", "use 1-63 of a-z 0-9 . _ -, a letter or digit first")
        if not mirror.upstreams:
            raise SettingError(f"mirrors.{name}.upstream", "names no address")
        proxy = [("proxy", mirror.proxy)] if mirror.proxy else []
        for key, value in [*proxy, *(("upstream", one) for one in mirror.upstreams)]:
            if not _is_web(value):
                raise SettingError(f"mirrors.{name}.{key}", f"{value!r} is not an http or https address")
    try:
        size = parse_size(raw.cache.size, "cache.size")
    except ImageError as error:
        raise SettingError("cache.size", str(error)) from error
    if size.fixed < 1 << 20:
        raise SettingError("cache.size", f"{raw.cache.size!r} is not a size such as 50G")


def _check_nbd(raw: _File) -> None:
    try:
        size = parse_size(raw.nbd.cache_size, "nbd.cache_size")
    except ImageError as error:
        raise SettingError("nbd.cache_size", str(error)) from error
    if size.fixed < 256 << 20:
        raise SettingError("nbd.cache_size", f"{raw.nbd.cache_size!r} is not a size from 256M on")
    if not 0 <= raw.nbd.processes <= 64:
        raise SettingError("nbd.processes", "is not between 0 and 64")
    if raw.nbd.enabled and raw.http.enabled and raw.nbd.port == raw.http.port:
        raise SettingError("nbd.port", f"{raw.nbd.port} is used by another service of this file")


def _is_web(text: str) -> bool:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set(text) & set(" ?#")
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain and port != 0


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _sentence(text: str) -> str:
    """msgspec's message with the key first: `Expected `int`, got `str` - at `$.http.port`` -> `key
    http.port: ...`."""
    unknown = re.search(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?", text)
    if unknown:
        prefix = f"{unknown[2]}." if unknown[2] else ""
        return f"key {prefix}{unknown[1]}: there is no such key"
    reason, found, where = text.partition(" - at `$")
    key = where.rstrip("`").lstrip(".").replace("[...]", "")
    return f"key {key}: {reason[0].lower()}{reason[1:].replace('`', '')}" if found else text
