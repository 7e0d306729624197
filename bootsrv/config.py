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
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec

from bootsrv.config_checks import check, layout_is_one
from bootsrv.config_sections import (
    Dhcp,
    Dns,
    File,
    Http,
    Imager,
    Install,
    Mirror,
    Nbd,
    Nfs,
    NodeDefaults,
    PackageCache,
    Syslog,
    Tftp,
)  # fmt: skip
from bootsrv.errors import ConfigError
from pxe.dhcp.subnet import Subnet, build_subnet, check_together
from pxe.errors import SettingError

DEFAULT_FILE = Path("/etc/bootsrv/bootsrv.toml")


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
        layout_is_one(table)
        raw = msgspec.convert(dict(table), File)
    except SettingError as error:
        raise ConfigError(f"{path}: key {error.key}: {error.reason}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(str(error))}") from error
    try:
        check(raw)
        subnets = _subnets(raw)
    except SettingError as error:
        raise ConfigError(f"{path}: key {error.key}: {error.reason}") from error
    payload = Path(raw.payload_dir) if raw.payload_dir else Path(sys.prefix) / "share" / "bootsrv"
    return Config(
        path, Path(raw.data_dir), payload, raw.interfaces, raw.domain.lower(), subnets,
        raw.dhcp, raw.tftp, raw.dns, raw.http, raw.nodes, raw.imager, raw.layouts,
        raw.mirrors, raw.cache, raw.syslog, raw.install, raw.nbd, raw.nfs,
    )  # fmt: skip


def _subnets(raw: File) -> tuple[Subnet, ...]:
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
