"""The fields of a profile that a dialect has no word for. Pure.

The law: nothing that a profile says is left out in silence. What would make another machine than the one that
was asked for is refused; where only an installer's screen would have been another, a note is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pxe.answers.errors import Finding
from pxe.answers.profile import Profile, When, profile_values
from pxe.answers.targets import Dialect

_WHO = {
    Dialect.PRESEED: "Debian's installer", Dialect.AUTOINSTALL: "Ubuntu's installer",
    Dialect.NOCLOUD: "cloud-init", Dialect.AUTOYAST: "AutoYaST", Dialect.IGNITION: "Ignition",
}  # fmt: skip
_NOTES = frozenset(
    ("display", "first_boot", "accept_eula", "eject", "packages.options", "packages.default",
     "packages.none", "legacy.mouse", "legacy.x", "legacy.skip_x", "legacy.device_probe",
     "legacy.default_language", "legacy.lilo_check", "legacy.autostep", "legacy.autoscreenshot",
     "legacy.interactive", "legacy.install", "bootloader.linear", "bootloader.no_linear", "bootloader.lba32",
     "network.not_installer_device", "network.bind_to", "network.activate", "network.no_activate",
     "network.name", "disks.zero_mbr", "disks.clear.init_label", "disks.required", "disks.required_boot",
     "disks.partitions.primary", "disks.partitions.active", "disks.partitions.bad_blocks",
     "repositories.install", "repositories.cost")
)  # fmt: skip

_SCRIPT, _URL, _NO = "write a script for it", "give a url", "leave it out"
_AFRESH = "disks are laid out afresh here; leave it out"
_PARTS = ("partitions", "raids", "volumes")
_KICKSTARTS: dict[str, str] = {  # what no other dialect has
    "raw": "lines of a kickstart mean nothing here; take them out", "layouts": "keyboard sets it",
    "legacy.auth": _SCRIPT, "legacy.authselect": _SCRIPT, "legacy.upgrade": "machines are installed afresh",
    "legacy.drivers": "name the module on the kernel's command line", "legacy.driver_disks": _NO,
    "root.allow_ssh": _SCRIPT, "repositories.mirror_list": _URL, "repositories.metalink": _URL,
    "repositories.include": _NO, "repositories.exclude": _NO, "repositories.no_verify": "give its key",
    "repositories.proxy": "use the profile's own proxy",
    "network.dhcp_class": _SCRIPT, "network.ethtool": _SCRIPT, "network.essid": _SCRIPT,
    "network.no_dns": _SCRIPT, "network.team_config": "use a bond",
    "bootloader.drive_order": "use boot_drive", "bootloader.no_mbr": _NO, "bootloader.upgrade": _NO,
    "bootloader.lilo": "GRUB is the boot loader",
    "disks.ignore": "name the disks that are used", "disks.clear.what": _AFRESH,
    "disks.clear.partitions": _AFRESH, "disks.automatic.type": "write partitions",
    **{f"disks.automatic.{name}": "write partitions"
       for name in ("filesystem", "no_home", "no_boot", "no_swap")},
    **{f"disks.{kind}.{name}": "make the file system in a script"
       for kind in _PARTS for name in ("format_options", "profile", "bytes_per_inode")},
    **{f"disks.partitions.{name}": _AFRESH for name in ("end", "resize", "bios_disk", "type")},
    **{f"disks.volumes.{name}": _AFRESH for name in ("existing", "resize")},
    **{f"disks.volumes.{name}": "give a size, or grow" for name in ("percent", "recommended")},
    **{f"disks.volumes.{name}": _NO for name in ("thin", "thin_pool", "pool")},
    **{f"disks.groups.{name}": _NO for name in ("reserved", "reserved_percent", "existing", "keep")},
    "disks.raids.existing": _AFRESH,
}  # fmt: skip
_UBUNTU_DISKS = {
    **{f"disks.{kind}.max_size": "give a size, or grow" for kind in ("partitions", "volumes")},
    "disks.partitions.recommended": "give a size", "disks.partitions.start": _AFRESH,
    **{f"disks.{kind}.keep": _AFRESH for kind in ("raids", "volumes")},
    "disks.raids.chunk": _NO, "disks.groups.extent": _NO, "disks.clear.label": "it is a GPT here",
    "disks.clear.drives": "the disks of the partitions are cleared",
    **{f"disks.{kind}.luks.{name}": _NO for kind in _PARTS for name in ("version", "cipher")},
}  # fmt: skip
_LOADER = {
    "bootloader.boot_drive": "it is the first disk", "bootloader.leave_boot_order": _SCRIPT,
    "bootloader.disabled": _NO, "bootloader.location": _NO,
}  # fmt: skip
_SOURCE = {f"source.{name}": _URL for name in (
    "mirror_list", "metalink", "nfs_server", "nfs_options", "disk", "directory", "cdrom")}  # fmt: skip
_LOCKS = {f"disks.automatic.luks.{name}": _NO for name in ("version", "cipher")}
_CLOCK = "set the clock in a script, with timedatectl"
_REFUSED: dict[Dialect, Mapping[str, str]] = {
    Dialect.PRESEED: {
        **_SOURCE, "network.bridge_options": _SCRIPT, "disks.partitions.recommended": "give a size",
        "disks.raids.label": _SCRIPT, "disks.raids.mount_options": _SCRIPT, "disks.raids.keep": _AFRESH,
        "disks.raids.chunk": _NO, "disks.groups.extent": _NO, "disks.volumes.keep": _AFRESH,
    },
    Dialect.AUTOINSTALL: {
        **_SOURCE, **_UBUNTU_DISKS, **_LOADER, **_LOCKS, "source.no_verify": _NO, "utc": _CLOCK,
        "more_languages": "run locale-gen in a script", "network.bridge_options": _SCRIPT,
        "bootloader.password": _SCRIPT, "packages.without_groups": _NO, "packages.all": _NO,
    },
    Dialect.AUTOYAST: {
        **_LOADER, **_LOCKS,
        "more_languages": "add the language's packages", "no_ntp": "put chronyd into services.disabled",
        "network.bridge_options": _SCRIPT, "network.ipv6_gateway": _SCRIPT, "network.no_ipv4": _SCRIPT,
        "network.no_ipv6": _SCRIPT, "network.no_default_route": _SCRIPT, "network.onboot": _SCRIPT,
        "repositories.key": _NO, "packages.all": _NO, "disks.only": "write partitions, with their disks",
        "disks.clear.drives": "the disks of the partitions are cleared", "disks.partitions.start": _AFRESH,
        **{f"disks.{kind}.max_size": "give a size, or grow" for kind in ("partitions", "volumes")},
        **{f"firewall.{name}": _SCRIPT
           for name in ("level", "without", "trust", "dhcp", "telnet", "system_defaults")},
    },
    Dialect.IGNITION: {
        **_LOADER, **_UBUNTU_DISKS, "utc": _CLOCK,
        "more_languages": _SCRIPT, "no_ntp": "put chronyd into services.disabled",
        "network.no_default_route": _SCRIPT, "network.onboot": _SCRIPT,
        "bootloader.password": _SCRIPT, "bootloader.timeout": _SCRIPT,
        "firewall": _SCRIPT,
        **{f"packages.{name}": "layer packages in a script" for name in ("without", "without_groups", "all")},
        "disks.only": "name the disk in each partition", "scripts.stop_on_error": _NO,
        "finish": "the machine restarts", "kexec": _NO,
    },
    Dialect.NOCLOUD: {
        "repositories": "write them in a script", "utc": _CLOCK,
        "proxy": _SCRIPT, "more_languages": _SCRIPT, "network.bridge_options": _SCRIPT,
        "users.gid": _SCRIPT, "user_groups.gid": _SCRIPT, "scripts.outside": _NO, "kexec": _NO,
        "disks": "an image has its own", "packages.without_groups": _NO, "packages.all": _NO,
    },
}  # fmt: skip
# Values that say no more than what is done anyway.
_SAME: dict[str, tuple[Any, ...]] = {
    "disks.clear.what": ("all",), "disks.clear.label": ("gpt",), "disks.automatic.type": ("lvm", "plain"),
    "bootloader.location": ("mbr",), "finish": ("reboot",), "firewall": ({"enabled": False},),
    "network.onboot": (True,),
}  # fmt: skip
_FIRST_BOOT_LOG = "its output goes to /var/log/bootsrv-first-boot.log"
_OF_THE_TREE = (Dialect.AUTOYAST, Dialect.IGNITION, Dialect.NOCLOUD)  # or the image: packages, all of them
_OWN_LOG = (Dialect.NOCLOUD, Dialect.IGNITION)


def unsaid(profile: Profile, dialect: Dialect) -> Iterator[Finding]:
    """What the profile says and the dialect cannot."""
    if dialect not in _OWN_LOG:
        yield from _first_boot(profile)
    if dialect is Dialect.KICKSTART:
        return  # its forms say it themselves, option by option
    refused, who = {**_KICKSTARTS, **_REFUSED[dialect]}, _WHO[dialect]
    done: list[str] = []
    for path, field, value in _said(profile_values(profile)):
        if value in _SAME.get(path, ()) or any(field.startswith(f"{one}.") for one in done):
            continue
        if path == "network.name" and (dialect is Dialect.IGNITION or _is_vlan(profile, field)):
            continue
        if path in _NOTES or (path == "source" and dialect in _OF_THE_TREE):
            yield Finding(f"this means nothing to {who}", field, warning=True)
        elif path in refused:
            yield Finding(f"{who} has no word for this; {refused[path]}", field)
        else:
            continue
        done.append(field)


def _is_vlan(profile: Profile, field: str) -> bool:
    number = int(field.partition("[")[2].partition("]")[0])
    return profile.network[number].vlan is not None


def _first_boot(profile: Profile) -> Iterator[Finding]:
    for number, step in enumerate(profile.scripts):
        for field in ("outside", "log", "stop_on_error") if step.when is When.FIRST_BOOT else ():
            if getattr(step, field):
                what = f"a script of the first boot has no such choice; {_FIRST_BOOT_LOG}"
                yield Finding(what, f"scripts[{number}].{field}")


def _said(values: Any, path: str = "", field: str = "") -> Iterator[tuple[str, str, Any]]:
    """Everything that is said: its path without numbers, its field, its value."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            inner = f"{path}.{name}".strip("."), f"{field}.{name}".strip(".")
            yield *inner, value
            yield from _said(value, *inner)
    elif isinstance(values, list | tuple):
        for number, value in enumerate(values):
            yield from _said(value, path, f"{field}[{number}]")
