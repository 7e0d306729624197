"""Which field of the profile a line of a rendered file comes from, for readers that know lines only.

By the directive, or the question, that the line begins with; the first field that could be meant, for lists
the list. A line that many fields share has none.
"""

from __future__ import annotations

from dataclasses import replace

from pxe.answers.errors import Finding
from pxe.answers.targets import Dialect

_KICKSTART = {
    "lang": "language", "langsupport": "more_languages", "keyboard": "keyboard", "timezone": "timezone",
    "timesource": "ntp_servers", "network": "network", "rootpw": "root.password", "sshkey": "root.keys",
    "user": "users", "group": "user_groups", "url": "source", "nfs": "source", "cdrom": "source",
    "harddrive": "source", "repo": "repositories", "bootloader": "bootloader", "lilo": "bootloader",
    "zerombr": "disks.zero_mbr", "clearpart": "disks.clear", "ignoredisk": "disks.ignore",
    "autopart": "disks.automatic", "reqpart": "disks.required", "part": "disks.partitions",
    "partition": "disks.partitions", "raid": "disks.raids", "volgroup": "disks.groups",
    "logvol": "disks.volumes", "firewall": "firewall", "selinux": "selinux", "services": "services",
    "firstboot": "first_boot", "eula": "accept_eula", "reboot": "finish", "poweroff": "finish",
    "halt": "finish", "shutdown": "finish", "auth": "legacy.auth", "authconfig": "legacy.auth",
    "authselect": "legacy.authselect", "%packages": "packages", "%pre": "scripts", "%post": "scripts",
    "%onerror": "scripts", "device": "legacy.drivers",
    "driverdisk": "legacy.driver_disks", "xconfig": "legacy.x", "mouse": "legacy.mouse",
}  # fmt: skip
_PRESEED = {
    "debian-installer/locale": "language", "keyboard-configuration/": "keyboard", "netcfg/": "network",
    "netcfg/get_hostname": "hostname", "mirror/": "source", "apt-setup/local": "repositories",
    "passwd/root": "root.password", "passwd/user": "users", "passwd/username": "users[0].name",
    "time/": "timezone", "clock-setup/ntp-server": "ntp_servers", "partman-crypto/": "disks",
    "partman": "disks", "grub-installer/": "bootloader",
    "debian-installer/add-kernel-opts": "bootloader.append",
    "pkgsel/include": "packages.names", "tasksel/first": "packages.groups", "preseed/": "scripts",
    "debian-installer/exit": "finish",
}  # fmt: skip


def placed(finding: Finding, text: str, dialect: Dialect) -> Finding:
    """The finding with its field, where that can be told."""
    lines = text.splitlines()
    if finding.field or not 1 <= finding.line <= len(lines):
        return finding
    words = lines[finding.line - 1].split()
    field = ""
    if dialect is Dialect.KICKSTART and words:
        field = _KICKSTART.get(words[0], "") or _section(lines, finding.line)
    elif dialect is Dialect.PRESEED and len(words) > 1:
        fitting = [start for start in _PRESEED if words[1].startswith(start)]
        field = _PRESEED[max(fitting, key=len)] if fitting else ""
    return replace(finding, field=field)


def _section(lines: list[str], number: int) -> str:
    """The field of the section that a line lies in."""
    for line in reversed(lines[: number - 1]):
        if line.startswith("%"):
            return _KICKSTART.get(line.split()[0], "")
    return ""
