"""A profile: one unattended installation, as typed values that every renderer understands.

Passwords are hashes only. Whatever an imported file says that has no field here stays in `raw`, in its place.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec

from pxe.answers.legacy import Legacy
from pxe.answers.network import Interface
from pxe.answers.storage import Disks
from pxe.answers.text import (
    Account,
    AccountPath,
    Count,
    FullName,
    Group,
    Hash,
    Host,
    Item,
    Key,
    Layout,
    Line,
    LoaderHash,
    Package,
    Port,
    RawLine,
    Script,
    Section,
    Words,
    explained,
)
from pxe.errors import SettingError

_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


class Root(Section, frozen=True, kw_only=True):
    """The administrator. Default: no password, log-in by key only."""

    password: Hash | None = None
    locked: bool = False
    allow_ssh: bool = False  # by password
    keys: tuple[Key, ...] = ()


class User(Section, frozen=True, kw_only=True):
    """An account."""

    name: Account
    password: Hash | None = None
    full_name: FullName | None = None
    groups: tuple[Item, ...] = ()
    uid: Count | None = None
    gid: Count | None = None
    home: AccountPath | None = None
    shell: AccountPath | None = None
    locked: bool = False
    keys: tuple[Key, ...] = ()


class UserGroup(Section, frozen=True, kw_only=True):
    """A group of accounts."""

    name: Account
    gid: Count | None = None


class Source(Section, frozen=True, kw_only=True):
    """Where the installer finds its packages: exactly one of url, mirror_list, metalink, nfs, disk, cdrom."""

    url: Words | None = None
    mirror_list: Words | None = None
    metalink: Words | None = None
    proxy: Words | None = None
    no_verify: bool = False
    nfs_server: Host | None = None
    nfs_options: Line | None = None
    disk: Item | None = None  # partition
    directory: Words | None = None  # on the server or the partition
    cdrom: bool = False


class Repository(Section, frozen=True, kw_only=True):
    """More packages. `updates`: the directory of newer packages beside the tree."""

    name: Item
    url: Words | None = None
    mirror_list: Words | None = None
    metalink: Words | None = None
    cost: Count | None = None
    include: tuple[Item, ...] = ()
    exclude: tuple[Item, ...] = ()
    proxy: Words | None = None
    no_verify: bool = False
    install: bool = False  # also in the installed machine's own list
    key: Words | None = None  # address of the key that it is signed with, for apt


class Bootloader(Section, frozen=True, kw_only=True):
    """The boot loader of the installed machine."""

    location: Item | None = None  # "mbr", "partition", "none", "boot"
    append: Line | None = None
    password: LoaderHash | None = None
    timeout: Count | None = None
    drive_order: tuple[Item, ...] = ()
    boot_drive: Item | None = None
    disabled: bool = False
    leave_boot_order: bool = False
    no_mbr: bool = False
    upgrade: bool = False
    lilo: bool = False
    linear: bool = False
    no_linear: bool = False
    lba32: bool = False


class Packages(Section, frozen=True, kw_only=True):
    """What is installed. Group names without the @."""

    environment: Group | None = None
    groups: tuple[Group, ...] = ()
    names: tuple[Package, ...] = ()
    without_groups: tuple[Group, ...] = ()
    without: tuple[Package, ...] = ()
    options: tuple[Words, ...] = ()  # of the %packages line, as written: "--nocore"
    default: bool = False
    all: bool = False
    none: bool = False  # no package section at all


class Firewall(Section, frozen=True, kw_only=True):
    """The firewall of the installed machine. `enabled` None: as the installer has it."""

    enabled: bool | None = None
    level: Item | None = None  # old: "high", "medium"
    services: tuple[Item, ...] = ()
    without: tuple[Item, ...] = ()
    ports: tuple[Port, ...] = ()
    trust: tuple[Item, ...] = ()
    dhcp: bool = False
    ssh: bool = False
    telnet: bool = False
    smtp: bool = False
    http: bool = False
    ftp: bool = False
    system_defaults: bool = False


class Services(Section, frozen=True, kw_only=True):
    """Units that are switched on and off."""

    enabled: tuple[Item, ...] = ()
    disabled: tuple[Item, ...] = ()


class When(StrEnum):
    """When a script runs."""

    PRE = "pre"
    PRE_INSTALL = "pre-install"
    POST = "post"
    FIRST_BOOT = "first-boot"  # once, on the installed machine; it removes itself
    ERROR = "onerror"


class Step(Section, frozen=True, kw_only=True):
    """One script."""

    when: When = When.POST
    text: Script
    interpreter: Line | None = None
    outside: bool = False  # not in the installed root (%post --nochroot)
    log: Line | None = None
    stop_on_error: bool = False


class Raw(Section, frozen=True, kw_only=True):
    """Lines of an imported file that have no field here. `after`: how many known directives stood before."""

    lines: tuple[RawLine, ...]
    after: Count = 0
    section: bool = False  # a whole %section, kept behind the directives


class Profile(Section, frozen=True, kw_only=True):
    """One installation."""

    target: Item = ""  # "rhel9", "fedora42", "debian12", "ubuntu24.04", "rhl7.2"
    language: Item = "en_US.UTF-8"
    more_languages: tuple[Item, ...] = ()
    keyboard: Item = "us"
    layouts: tuple[Layout, ...] = ()  # for X and Wayland: "us", "cz (qwerty)"
    timezone: Item = "Etc/UTC"
    utc: bool = True
    ntp_servers: tuple[Item, ...] = ()
    no_ntp: bool = False
    source: Source | None = None
    repositories: tuple[Repository, ...] = ()
    hostname: Host | None = None
    network: tuple[Interface, ...] = ()
    root: Root = Root(locked=True)
    users: tuple[User, ...] = ()
    user_groups: tuple[UserGroup, ...] = ()
    disks: Disks = Disks()
    bootloader: Bootloader | None = None
    packages: Packages = Packages()
    firewall: Firewall | None = None
    selinux: Item | None = None  # "enforcing", "permissive", "disabled"
    services: Services = Services()
    proxy: Words | None = None
    scripts: tuple[Step, ...] = ()
    display: Item = "text"  # "text", "graphical", "cmdline", "default"
    first_boot: Item | None = None  # the distribution's assistant: "enable", "disable", "reconfig"
    accept_eula: bool = False
    finish: Item = "reboot"  # "reboot", "poweroff", "halt", "shutdown", "none"
    eject: bool = False
    kexec: bool = False
    legacy: Legacy = Legacy()
    raw: tuple[Raw, ...] = ()
    order: tuple[Item, ...] = ()  # of the directives of an imported file; ours otherwise


def profile_from(values: dict[str, Any]) -> Profile:
    """A profile from plain values (TOML, JSON). Raises SettingError naming the field and what it must be."""
    try:
        return msgspec.convert(values, Profile)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.strip("`.")
        if unknown := _UNKNOWN.match(what):
            raise SettingError(f"{key}.{unknown[1]}".lstrip("."), "there is no such field") from error
        if missing := _MISSING.match(what):
            raise SettingError(f"{key}.{missing[1]}".lstrip("."), "is missing") from error
        raise SettingError(key or "profile", explained(what)) from error


def profile_values(profile: Profile) -> dict[str, Any]:
    """Plain values; only what differs from the defaults."""
    values: dict[str, Any] = msgspec.to_builtins(profile)
    return values
