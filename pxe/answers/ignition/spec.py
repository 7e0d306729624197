"""The shape of an Ignition config as version 3.4 of its specification has it; strict, so that a key that
Ignition would ignore, or refuse at the first boot, is found before.
"""

from __future__ import annotations

from typing import Any

import msgspec

NEWEST = (3, 4)  # that is understood
WRITTEN = (3, 3)  # has all that is written, and is read by systems since 2021


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every object keeps to."""


class Hash(Part, frozen=True):
    hash: str | None = None


class Header(Part, frozen=True):
    name: str
    value: str | None = None


class Resource(Part, frozen=True):
    source: str | None = None
    compression: str | None = None
    httpHeaders: tuple[Header, ...] = ()
    verification: Hash | None = None


class Merged(Part, frozen=True):
    merge: tuple[Resource, ...] = ()
    replace: Resource | None = None


class Proxy(Part, frozen=True):
    httpProxy: str | None = None
    httpsProxy: str | None = None
    noProxy: tuple[str, ...] = ()


class Timeouts(Part, frozen=True):
    httpResponseHeaders: int | None = None
    httpTotal: int | None = None


class Ignition(Part, frozen=True):
    version: str
    config: Merged | None = None
    timeouts: Timeouts | None = None
    security: dict[str, Any] | None = None
    proxy: Proxy | None = None


class Partition(Part, frozen=True):
    label: str | None = None
    number: int = 0
    sizeMiB: int | None = None
    startMiB: int | None = None
    typeGuid: str | None = None
    guid: str | None = None
    wipePartitionEntry: bool | None = None
    shouldExist: bool | None = None
    resize: bool | None = None


class Disk(Part, frozen=True):
    device: str
    wipeTable: bool | None = None
    partitions: tuple[Partition, ...] = ()


class Raid(Part, frozen=True):
    name: str
    level: str | None = None
    devices: tuple[str, ...] = ()
    spares: int | None = None
    options: tuple[str, ...] = ()


class Luks(Part, frozen=True):
    name: str
    label: str | None = None
    uuid: str | None = None
    device: str | None = None
    keyFile: Resource | None = None
    wipeVolume: bool | None = None
    clevis: dict[str, Any] | None = None
    options: tuple[str, ...] = ()
    discard: bool | None = None
    openOptions: tuple[str, ...] = ()


class Filesystem(Part, frozen=True):
    device: str
    path: str | None = None
    format: str | None = None
    options: tuple[str, ...] = ()
    mountOptions: tuple[str, ...] = ()
    wipeFilesystem: bool | None = None
    label: str | None = None
    uuid: str | None = None


class Owner(Part, frozen=True):
    id: int | None = None
    name: str | None = None


class Placed(Part, frozen=True):
    path: str
    overwrite: bool | None = None
    user: Owner | None = None
    group: Owner | None = None


class File(Placed, frozen=True):
    mode: int | None = None
    contents: Resource | None = None
    append: tuple[Resource, ...] = ()


class Directory(Placed, frozen=True):
    mode: int | None = None


class Link(Placed, frozen=True):
    target: str | None = None
    hard: bool | None = None


class Storage(Part, frozen=True):
    disks: tuple[Disk, ...] = ()
    raid: tuple[Raid, ...] = ()
    luks: tuple[Luks, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = ()
    links: tuple[Link, ...] = ()


class Dropin(Part, frozen=True):
    name: str
    contents: str | None = None


class Unit(Part, frozen=True):
    name: str
    enabled: bool | None = None
    mask: bool | None = None
    contents: str | None = None
    dropins: tuple[Dropin, ...] = ()


class Systemd(Part, frozen=True):
    units: tuple[Unit, ...] = ()


class User(Part, frozen=True):
    name: str
    passwordHash: str | None = None
    sshAuthorizedKeys: tuple[str, ...] = ()
    uid: int | None = None
    gecos: str | None = None
    homeDir: str | None = None
    noCreateHome: bool | None = None
    primaryGroup: str | None = None
    groups: tuple[str, ...] = ()
    noUserGroup: bool | None = None
    system: bool | None = None
    noLogInit: bool | None = None
    shell: str | None = None
    shouldExist: bool | None = None


class Group(Part, frozen=True):
    name: str
    gid: int | None = None
    passwordHash: str | None = None
    system: bool | None = None
    shouldExist: bool | None = None


class Passwd(Part, frozen=True):
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


class Arguments(Part, frozen=True):
    shouldExist: tuple[str, ...] = ()
    shouldNotExist: tuple[str, ...] = ()


class Config(Part, frozen=True):
    """The whole document."""

    ignition: Ignition
    storage: Storage | None = None
    systemd: Systemd | None = None
    passwd: Passwd | None = None
    kernelArguments: Arguments | None = None
