"""Writes a profile as an Ignition config, or says all that keeps it from being written.

The system comes as an image, so there is no package and no boot loader to choose; accounts, keys, files,
units and disks for data are what there is. Scripts run once, at the first boot, and take themselves away.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from pxe.answers.errors import Finding, Unfit
from pxe.answers.ignition.check import as_json
from pxe.answers.ignition.disks import Plan, data_url
from pxe.answers.ignition.network import keyfiles
from pxe.answers.ignition.spec import WRITTEN
from pxe.answers.profile import Profile, Step, User, When
from pxe.answers.targets import Target
from pxe.answers.unanswered import Unanswered, unanswered

Say = Callable[[Finding], None]
Values = dict[str, Any]
_PLACE = "/etc/bootsrv"
_NOT_HERE: tuple[Unanswered, ...] = (
    ("packages", lambda p: p.packages.names or p.packages.groups or p.packages.environment,
     "layer packages by rpm-ostree in a script"),
    ("selinux", lambda p: p.selinux, "leave it out"),
    ("firewall", lambda p: p.firewall and p.firewall.enabled, "write rules in a script"),
    ("repositories", lambda p: p.repositories, "leave them out"),
    ("ntp_servers", lambda p: p.ntp_servers, "write chrony's file in a script"),
    ("root.password", lambda p: p.root.password and not p.root.locked, "name an account with keys"),
)  # fmt: skip


def render(profile: Profile, target: Target, secrets: Mapping[str, str] | None = None) -> str:
    """The config. Raises Unfit with every finding."""
    findings = unanswered(profile, _NOT_HERE, "Ignition")
    say = findings.append
    plan = Plan(profile.disks, secrets or {}, say)
    text = as_json(_config(profile, plan, say))
    if findings:
        raise Unfit(findings)
    return text


def _config(profile: Profile, plan: Plan, say: Say) -> Values:
    config: Values = {"ignition": {"version": f"{WRITTEN[0]}.{WRITTEN[1]}.0"}}
    if profile.proxy:
        config["ignition"]["proxy"] = {"httpProxy": profile.proxy, "httpsProxy": profile.proxy}
    users = [_user(user) for user in profile.users]
    if profile.root.keys:
        users.insert(0, {"name": "root", "sshAuthorizedKeys": list(profile.root.keys)})
    groups = [
        {"name": one.name, **({"gid": one.gid} if one.gid is not None else {})} for one in profile.user_groups
    ]
    passwd = {name: many for name, many in (("users", users), ("groups", groups)) if many}
    config |= {"passwd": passwd} if passwd else {}
    files, units = _scripts(profile, say)
    files += _files(profile, say)
    links = [
        {"path": "/etc/localtime", "overwrite": True, "target": f"../usr/share/zoneinfo/{profile.timezone}"}
    ]
    config["storage"] = {**plan.storage, "files": files, "links": links}
    for enabled, names in ((True, profile.services.enabled), (False, profile.services.disabled)):
        units += [{"name": name if "." in name else f"{name}.service", "enabled": enabled} for name in names]
    units += plan.units
    config |= {"systemd": {"units": units}} if units else {}
    if profile.bootloader and profile.bootloader.append:
        config["kernelArguments"] = {"shouldExist": profile.bootloader.append.split()}
    return config


def _user(user: User) -> Values:
    given = {
        "passwordHash": user.password if not user.locked else None, "sshAuthorizedKeys": list(user.keys),
        "uid": user.uid, "gecos": user.full_name, "homeDir": user.home, "shell": user.shell,
        "groups": list(user.groups), "primaryGroup": str(user.gid) if user.gid is not None else None,
    }  # fmt: skip
    return {"name": user.name, **{key: value for key, value in given.items() if value not in (None, "", [])}}


def _files(profile: Profile, say: Say) -> list[Values]:
    files = [_file("/etc/vconsole.conf", f"KEYMAP={shlex.quote(profile.keyboard)}\n")]
    files.append(_file("/etc/locale.conf", f"LANG={shlex.quote(profile.language)}\n"))
    name = profile.hostname or next((one.hostname for one in profile.network if one.hostname), None)
    if name:
        files.append(_file("/etc/hostname", f"{name}\n"))
    for connection, text in keyfiles(profile, say).items():
        path = f"/etc/NetworkManager/system-connections/{connection}.nmconnection"
        files.append(_file(path, text, 0o600))
    return files


def _scripts(profile: Profile, say: Say) -> tuple[list[Values], list[Values]]:
    files, units = [], []
    for number, step in enumerate(profile.scripts):
        if step.when not in (When.POST, When.FIRST_BOOT) or step.outside:
            say(Finding(f"Ignition has no {step.when} step; use post or first-boot", f"scripts[{number}]"))
        name = f"bootsrv-{number}"
        files.append(_file(f"{_PLACE}/{name}", _once(step, name), 0o755))
        units.append({"name": f"{name}.service", "enabled": True, "contents": _unit(name, number)})
    return files, units


def _once(step: Step, name: str) -> str:
    """A script around the step's own, so that it is gone afterwards whatever it returned."""
    log = step.log or f"/var/log/{name}.log"
    body = f"#!{step.interpreter or '/bin/sh'}\n{step.text}"
    mark, number = "END_OF_STEP", 0
    while mark in body:
        number += 1
        mark = f"END_OF_STEP_{number}"
    body += "" if body.endswith("\n") else "\n"
    return (
        f"#!/bin/sh\ncat > /run/{name} <<'{mark}'\n{body}{mark}\nchmod 700 /run/{name}\n"
        f"/run/{name} >{shlex.quote(log)} 2>&1\n"
        f"systemctl disable {name}.service\n"
        f"rm -f /run/{name} {_PLACE}/{name} /etc/systemd/system/{name}.service\n"
    )


def _unit(name: str, number: int) -> str:
    after = f" bootsrv-{number - 1}.service" if number else ""
    return (
        f"[Unit]\nDescription=Step {number + 1} of the first boot\nAfter=network-online.target{after}\n"
        f"Wants=network-online.target\n[Service]\nType=oneshot\nExecStart=/bin/sh {_PLACE}/{name}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def _file(path: str, text: str, mode: int = 0o644) -> Values:
    return {"path": path, "overwrite": True, "mode": mode, "contents": {"source": data_url(text)}}
