"""The fields of a profile that the form offers, in the order in which a person thinks of them.

What is not here is no less a part of a profile: it is typed as text, below the form. Paths are those of
`pxe.answers.profile`, so that a finding about `users[0].name` finds its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pxe.answers.snippets import snippets


class Kind(Enum):
    """How a value is typed."""

    WORD = auto()
    WORDS = auto()  # a list, separated by blanks
    LINES = auto()  # a list, one on each line
    TEXT = auto()  # many lines
    COUNT = auto()
    FLAG = auto()  # true, or not said
    YES_NO = auto()  # true, false, or not said
    CHOICE = auto()
    TABLE = auto()  # texts by name: NAME=VALUE on each line
    HASH = auto()  # of a password, which may be typed beside it and is kept nowhere


@dataclass(frozen=True, slots=True)
class Field:
    """One value. `choices` are (value, label); `wide` takes the whole width."""

    path: str
    label: str
    kind: Kind = Kind.WORD
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    wide: bool = False
    fills: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what a choice puts into `with`
    plain: str = ""  # of a HASH: the label where its password is typed


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of records, one row each; `one` is what a record is called."""

    path: str
    one: str
    columns: tuple[Field, ...]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What stands under one heading. `open`: shown unfolded although nothing is said in it."""

    key: str
    title: str
    fields: tuple[Field | Rows, ...]
    open: bool = False


TARGETS = (
    "debian13", "debian12", "ubuntu24.04", "rhel10", "rhel9", "rocky9", "alma9", "fedora42", "rhel8", "rhel7",
    "sles15", "leap15.6", "coreos", "rhl7.2", "nocloud",
)  # fmt: skip
_METHODS = (("", "DHCP"), ("static", "Static"), ("bootp", "BOOTP"), ("none", "None"))
_FILESYSTEMS = (("", "default"), *((name, name) for name in ("ext4", "xfs", "btrfs", "ext3", "vfat", "swap")))
_LEVELS = tuple((level, f"RAID {level}") for level in ("0", "1", "5", "6", "10"))
_WHEN = (
    ("", "After the installation"), ("pre", "Before it"), ("pre-install", "Before packages"),
    ("first-boot", "At the first boot"), ("onerror", "When it fails"),
)  # fmt: skip
_LUKS = Field("luks.passphrase", "Passphrase", hint="secret:NAME, or secret:disk-key; empty: not encrypted")


def parts() -> tuple[Part, ...]:
    """The whole form."""
    return (
        Part("system", "System", _system(), open=True),
        Part("accounts", "Accounts", _accounts(), open=True),
        Part("network", "Network", _network()),
        Part("disks", "Disks", _disks()),
        Part("packages", "Packages and services", _packages(), open=True),
        Part("scripts", "Scripts", _scripts()),
    )


def _system() -> tuple[Field | Rows, ...]:
    return (
        Field(
            "target",
            "System to install",
            hint="Also older and other releases: rhel7, fedora39, debian10 …",
            choices=tuple((name, "") for name in TARGETS),
        ),
        Field("language", "Language", hint="en_US.UTF-8"),
        Field("keyboard", "Keyboard", hint="us, de, cz …"),
        Field("timezone", "Time zone", hint="Etc/UTC, Europe/Prague …"),
        Field("source.url", "Install from", hint="URL of the tree or mirror", wide=True),
        Field("proxy", "Proxy", wide=True),
        Field(
            "finish",
            "When done",
            Kind.CHOICE,
            choices=(("", "Reboot"), ("poweroff", "Power off"), ("halt", "Halt")),
        ),
        Field(
            "selinux",
            "SELinux",
            Kind.CHOICE,
            choices=(
                ("", "Default"),
                ("enforcing", "Enforcing"),
                ("permissive", "Permissive"),
                ("disabled", "Disabled"),
            ),
        ),
        Field("firewall.enabled", "Firewall", Kind.YES_NO),
        Field("firewall.services", "Open services", Kind.WORDS, hint="ssh http"),
    )


def _accounts() -> tuple[Field | Rows, ...]:
    return (
        Field(
            "root.password",
            "Root's password hash",
            Kind.HASH,
            hint="Empty: no log-in by password.",
            plain="Root's new password",
        ),
        Field(
            "root.keys",
            "Root's ssh keys",
            Kind.LINES,
            hint="One on each line. Empty: those of the server.",
            wide=True,
        ),
        Rows(
            "users",
            "user",
            (
                Field("name", "Name"),
                Field("full_name", "Full name"),
                Field("password", "Password hash", Kind.HASH, plain="New password"),
                Field("groups", "Groups", Kind.WORDS),
                Field("keys", "ssh keys", Kind.LINES, wide=True),
            ),
        ),
    )


def _network() -> tuple[Field | Rows, ...]:
    return (
        Field("hostname", "Host name", hint="Empty: the node's own"),
        Field("ntp_servers", "Time servers", Kind.WORDS),
        Rows(
            "network",
            "interface",
            (
                Field("device", "Device", hint="A name or a MAC"),
                Field("method", "Address", Kind.CHOICE, choices=_METHODS),
                Field("address", "IPv4 address", hint="{{ node.address }}"),
                Field("netmask", "Netmask"),
                Field("gateway", "Gateway"),
                Field("name_servers", "Name servers", Kind.WORDS),
                Field("ipv6", "IPv6", hint="auto, dhcp, or address/prefix"),
                Field("vlan", "VLAN", Kind.COUNT),
                Field("bond_slaves", "Bond of", Kind.WORDS, hint="eth0 eth1"),
                Field("bond_options", "Bond options", hint="mode=802.3ad,miimon=100"),
                Field("mtu", "MTU", Kind.COUNT),
            ),
            hint="Without any: the node's registered address method.",
        ),
    )


def _disks() -> tuple[Field | Rows, ...]:
    return (
        Field(
            "disks.automatic.type",
            "Layout",
            Kind.CHOICE,
            choices=(
                ("", "As below, or the installer's own"),
                ("lvm", "The installer's own, on LVM"),
                ("plain", "The installer's own, plain"),
            ),
        ),
        Field(
            "disks.automatic.luks.passphrase",
            "Encrypt the installer's own",
            hint="secret:NAME or secret:disk-key",
        ),
        Field("disks.zero_mbr", "Unreadable labels are wiped", Kind.FLAG),
        Field(
            "disks.clear.what",
            "Remove first",
            Kind.CHOICE,
            choices=(("", "Nothing"), ("all", "All partitions"), ("linux", "Linux partitions")),
        ),
        Field("disks.only", "Only these disks", Kind.WORDS, hint="sda nvme0n1"),
        Field("bootloader.append", "Kernel arguments", wide=True),
        *_disk_rows(),
    )


def _disk_rows() -> tuple[Rows, ...]:
    return (
        Rows(
            "disks.partitions",
            "partition",
            (
                Field("name", "Mount point", hint="/, /boot, swap, raid.01, pv.01"),
                Field("size", "Size, MiB", Kind.COUNT),
                Field("grow", "Grows", Kind.FLAG),
                Field("filesystem", "File system", Kind.CHOICE, choices=_FILESYSTEMS),
                Field("disk", "Disk"),
                _LUKS,
            ),
        ),
        Rows(
            "disks.raids",
            "array",
            (
                Field("name", "Mount point"),
                Field("device", "Device", hint="md0"),
                Field("level", "Level", Kind.CHOICE, choices=_LEVELS),
                Field("members", "Members", Kind.WORDS, hint="raid.01 raid.02"),
                Field("filesystem", "File system", Kind.CHOICE, choices=_FILESYSTEMS),
                _LUKS,
            ),
        ),
        Rows(
            "disks.groups",
            "volume group",
            (
                Field("name", "Name"),
                Field("members", "Members", Kind.WORDS, hint="pv.01"),
            ),
        ),
        Rows(
            "disks.volumes",
            "volume",
            (
                Field("mount", "Mount point"),
                Field("group", "Group"),
                Field("name", "Name"),
                Field("size", "Size, MiB", Kind.COUNT),
                Field("grow", "Grows", Kind.FLAG),
                Field("filesystem", "File system", Kind.CHOICE, choices=_FILESYSTEMS),
            ),
        ),
    )


def _packages() -> tuple[Field | Rows, ...]:
    return (
        Field("packages.groups", "Groups", Kind.LINES, hint="One on each line, without the @"),
        Field("packages.names", "Packages", Kind.LINES, hint="One on each line"),
        Field("packages.without", "Never these", Kind.WORDS),
        Field("services.enabled", "Services on", Kind.WORDS),
        Field("services.disabled", "Services off", Kind.WORDS),
        Rows("repositories", "repository", (Field("name", "Name"), Field("url", "URL", wide=True))),
    )


def _scripts() -> tuple[Field | Rows, ...]:
    ready = (("", "Own text"), *((one.name, f"{one.name}: {one.summary}") for one in snippets().values()))
    needs = {one.name: "".join(f"{name}=\n" for name in one.needs) for one in snippets().values()}
    return (
        Rows(
            "scripts",
            "script",
            (
                Field("when", "When", Kind.CHOICE, choices=_WHEN),
                Field("snippet", "Ready-made", Kind.CHOICE, choices=ready, wide=True, fills=needs),
                Field("with", "Its variables", Kind.TABLE, hint="NAME=VALUE, one on each line"),
                Field("text", "Own text", Kind.TEXT, wide=True),
                Field("interpreter", "Interpreter", hint="/bin/sh"),
            ),
        ),
    )
