"""What the configuration file's values must be, beyond their types. Each refusal is a SettingError with the
key and the reason, of which `config` makes one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from bootsrv import dnsrecords
from bootsrv.config_sections import File, Http
from images.errors import ImageError
from images.layout_parse import parse_layout, parse_size
from images.versions import split_ref
from pxe.errors import SettingError

_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\Z")
_INTERFACE = re.compile(r"[^\s/]{1,15}\Z")
_HASH = re.compile(r"\$[0-9a-z]+\$[\x21-\x39\x3b-\x7e]+\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_WORD = re.compile(r"[\x21-\x7e]+\Z")


def check(raw: File) -> None:
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


def _check_ports(raw: File) -> None:
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


def _forwards(raw: File) -> list[tuple[str, str | None]]:
    return [(f"dns.forward[{place}]", value) for place, value in enumerate(raw.dns.forward)]


def _check_nodes(raw: File) -> None:
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


def layout_is_one(table: Mapping[str, Any]) -> None:
    """Raises SettingError for a layout's name where the layout itself is wanted; `table` as TOML gives it,
    since types are told without what is meant."""
    imager = table.get("imager")
    given = imager.get("layout") if isinstance(imager, dict) else None
    if given is None or isinstance(given, dict):
        return
    layouts = table.get("layouts")
    known = ", ".join(sorted(layouts)) if isinstance(layouts, dict) else ""
    raise SettingError(
        "imager.layout",
        f"{given!r} is not a layout: a table is wanted, [imager.layout] with partitions; layouts by name "
        f"({f'[layouts] has {known}' if known else '[layouts] has none'}) go to images by "
        "imager.image_layouts and to nodes by --layout",
    )


def _check_imager(raw: File) -> None:
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


def _check_mirrors(raw: File) -> None:
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


def _check_nbd(raw: File) -> None:
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
