"""Writes a profile as the three files of cloud-init's NoCloud source, for images that are ready to boot.

Disks, sources and boot loaders are the image's own; what would need an installer is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pxe.answers.cloud.autoinstall import as_cloud_config
from pxe.answers.cloud.netplan import netplan
from pxe.answers.errors import Finding, Unfit
from pxe.answers.profile import Profile, User, When
from pxe.answers.shell import step_script
from pxe.answers.targets import Target


def render(profile: Profile, target: Target, secrets: Mapping[str, str] | None = None) -> str:
    """The user-data, which is the file that has to be checked. Raises Unfit with every finding."""
    findings = [
        Finding("a ready image is not installed; leave it out", field)
        for field, given in (
            ("bootloader", profile.bootloader),
            ("selinux", profile.selinux),
            ("firewall", profile.firewall and profile.firewall.enabled is not False),
            ("packages.groups", profile.packages.groups),
            ("packages.environment", profile.packages.environment),
            ("packages.without", profile.packages.without),
        )
        if given
    ]
    findings += [
        Finding(f"cloud-init has no {step.when} step; use post or first-boot", f"scripts[{number}]")
        for number, step in enumerate(profile.scripts)
        if step.when not in (When.POST, When.FIRST_BOOT)
    ]
    netplan(profile, findings.append)  # the file beside it must be good, too
    if findings:
        raise Unfit(findings)
    return as_cloud_config(_user_data(profile))


def meta_data(instance: str, hostname: str) -> str:
    """The meta-data: who the instance is; a new id makes cloud-init run again."""
    text: str = yaml.safe_dump({"instance-id": instance, "local-hostname": hostname}, sort_keys=False)
    return text


def hostname(profile: Profile) -> str | None:
    """The machine's name, wherever the profile says it."""
    return profile.hostname or next((one.hostname for one in profile.network if one.hostname), None)


def network_config(profile: Profile) -> str:
    """The network-config; empty when the image's own network stays. Raises Unfit."""
    findings: list[Finding] = []
    values = netplan(profile, findings.append)
    if findings:
        raise Unfit(findings)
    text: str = yaml.safe_dump(values, sort_keys=False) if values else ""
    return text


def _user_data(profile: Profile) -> dict[str, Any]:
    values: dict[str, Any] = {
        "locale": profile.language,
        "timezone": profile.timezone,
        "keyboard": {"layout": profile.keyboard},
        "ssh_pwauth": False,
        "disable_root": False,
        "users": [_root(profile), *(_user(user) for user in profile.users)],
    }
    if name := hostname(profile):
        values["fqdn" if "." in name else "hostname"] = name
    if profile.no_ntp:
        values["ntp"] = {"enabled": False}
    elif profile.ntp_servers:
        values["ntp"] = {"enabled": True, "servers": list(profile.ntp_servers)}
    if profile.user_groups:
        values["groups"] = [group.name for group in profile.user_groups]
    if profile.packages.names:
        values["packages"] = list(profile.packages.names)
    commands: list[Any] = [["sh", "-c", step_script(step, n)] for n, step in enumerate(profile.scripts)]
    for verb, units in (("enable", profile.services.enabled), ("disable", profile.services.disabled)):
        commands += [["systemctl", verb, "--now", unit] for unit in units]
    if commands:
        values["runcmd"] = commands
    if profile.finish in ("poweroff", "halt", "shutdown"):
        values["power_state"] = {"mode": "halt" if profile.finish == "halt" else "poweroff"}
    return values


def _root(profile: Profile) -> dict[str, Any]:
    root = profile.root
    return {"name": "root", "lock_passwd": root.locked or root.password is None,
            **({"hashed_passwd": root.password} if root.password else {}),
            **({"ssh_authorized_keys": list(root.keys)} if root.keys else {})}  # fmt: skip


def _user(user: User) -> dict[str, Any]:
    values: dict[str, Any] = {"name": user.name, "lock_passwd": user.locked or user.password is None}
    given = {"gecos": user.full_name, "hashed_passwd": user.password, "shell": user.shell,
             "homedir": user.home, "uid": user.uid}  # fmt: skip
    values |= {key: value for key, value in given.items() if value not in (None, "")}
    if user.groups:
        values["groups"] = list(user.groups)
    if user.keys:
        values["ssh_authorized_keys"] = list(user.keys)
    return values
