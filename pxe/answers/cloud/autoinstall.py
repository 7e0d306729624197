"""Writes a profile as user-data with Ubuntu's `autoinstall`, or says all that keeps it from being written.

Field fact: GRUB ends a command at `;`, so `ds=nocloud;s=URL` on a kernel line must be quoted there; the boot
plan does that, nothing here knows of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from pxe.answers.aptline import apt_source
from pxe.answers.cloud.curtin import storage
from pxe.answers.cloud.netplan import netplan
from pxe.answers.errors import Finding, Unfit
from pxe.answers.profile import Profile, When
from pxe.answers.shell import (
    account_script,
    changed_account_script,
    first_boot_script,
    group_script,
    key_script,
    loader_script,
    step_script,
    time_script,
)
from pxe.answers.targets import Target
from pxe.answers.unanswered import Unanswered, unanswered

Say = Callable[[Finding], None]
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_NOT_HERE: tuple[Unanswered, ...] = (
    ("selinux", lambda p: p.selinux, "leave it out"),
    ("firewall", lambda p: p.firewall and p.firewall.enabled is not False, "enable ufw in a script"),
    ("packages.environment", lambda p: p.packages.environment, "name packages"),
    ("packages.groups", lambda p: p.packages.groups, "name packages, or a task with a ^ at its end"),
    ("packages.without", lambda p: p.packages.without, "remove them in a script"),
    ("kexec", lambda p: p.kexec, "leave it out"),
)


def render(profile: Profile, target: Target, secrets: Mapping[str, str] | None = None) -> str:
    """The user-data. Raises Unfit with every finding."""
    findings = unanswered(profile, _NOT_HERE, "Ubuntu's installer")
    say = findings.append
    values = _values(profile, secrets or {}, say)
    if findings:
        raise Unfit(findings)
    return as_cloud_config({"autoinstall": values})


def as_cloud_config(values: Mapping[str, Any]) -> str:
    """Plain values as the text that cloud-init reads."""
    text: str = yaml.dump(dict(values), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=10_000)
    return "#cloud-config\n" + text


def _values(profile: Profile, secrets: Mapping[str, str], say: Say) -> dict[str, Any]:
    values: dict[str, Any] = {
        "version": 1,
        "locale": profile.language,
        "keyboard": {"layout": profile.keyboard},
        "timezone": profile.timezone,
        "storage": storage(profile.disks, secrets, say),
        "identity": _identity(profile, say),
        "ssh": _ssh(profile),
        "shutdown": _end(profile, say),
    }
    network = netplan(profile, say)
    if network is not None:
        values["network"] = network
    if proxy := profile.proxy or (profile.source and profile.source.proxy):
        values["proxy"] = proxy
    if profile.source and profile.source.url:
        values["apt"] = {"primary": [{"arches": ["default"], "uri": profile.source.url}]}
    for number, repository in enumerate(profile.repositories):
        if not repository.url:
            say(Finding("needs a url", f"repositories[{number}]"))
            continue
        apt_source(repository.url, f"repositories[{number}].url", say)
        if repository.key:
            say(Finding("Ubuntu's installer fetches no key; leave it out", f"repositories[{number}].key"))
        sources = values.setdefault("apt", {}).setdefault("sources", {})
        sources[f"{repository.name}.list"] = {"source": f"deb {repository.url}"}
    if profile.packages.names:
        values["packages"] = list(profile.packages.names)
    early = [step.text for step in profile.scripts if step.when is When.PRE]
    late = list(_late(profile))
    failed = [step.text for step in profile.scripts if step.when is When.ERROR]
    commands = {"early-commands": early, "late-commands": late, "error-commands": failed}
    return {**values, **{key: given for key, given in commands.items() if given}}


def _identity(profile: Profile, say: Say) -> dict[str, Any]:
    if not profile.users:
        say(Finding("Ubuntu's installer needs one account", "users"))
        return {}
    first = profile.users[0]
    interface = profile.network[0] if profile.network else None
    name = profile.hostname or (interface.hostname if interface else None) or "localhost"
    # A hash that nothing matches, where the account is for keys alone.
    return {"hostname": name, "username": first.name, "realname": first.full_name or "",
            "password": first.password or "!"}  # fmt: skip


def _ssh(profile: Profile) -> dict[str, Any]:
    first = profile.users[0] if profile.users else None
    return {
        "install-server": True,
        "allow-pw": bool(first and first.password),
        "authorized-keys": list(first.keys) if first else [],
    }


def _end(profile: Profile, say: Say) -> str:
    if profile.finish in ("reboot", "poweroff"):
        return profile.finish
    if profile.finish in ("halt", "shutdown"):
        return "poweroff"
    say(Finding("must be reboot or poweroff", "finish"))
    return "reboot"


def _late(profile: Profile) -> list[Any]:
    """Commands run by the installer, with the installed system below /target."""
    script = time_script(profile) + loader_script(profile) + "".join(map(group_script, profile.user_groups))
    if profile.root.password and not profile.root.locked:
        script += shlex.join(["usermod", "-p", profile.root.password, "root"]) + "\n"
    script += "".join(map(changed_account_script, profile.users[:1]))
    for user in profile.users[1:]:
        script += account_script(user) + "".join(key_script(user.name, key) for key in user.keys)
    script += "".join(key_script("root", key) for key in profile.root.keys)
    for verb, units in (("enable", profile.services.enabled), ("disable", profile.services.disabled)):
        script += "".join(f"systemctl {verb} '{unit}'\n" for unit in units)
    commands: list[Any] = []
    if script:
        commands.append(["curtin", "in-target", "--", "sh", "-c", script])
    for number, step in enumerate(profile.scripts):
        if step.when is When.POST:
            inside = [] if step.outside else ["curtin", "in-target", "--"]
            commands.append([*inside, "sh", "-c", step_script(step, number)])
    if at_first := first_boot_script(profile.scripts):
        commands.append(["curtin", "in-target", "--", "sh", "-c", at_first])
    return commands
