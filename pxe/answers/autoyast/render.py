"""Writes a profile as an AutoYaST file, or says all that keeps it from being written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pxe.answers.autoyast.disks import drives
from pxe.answers.autoyast.network import networking
from pxe.answers.autoyast.xml import Items, document
from pxe.answers.errors import Finding, Unfit
from pxe.answers.profile import Profile, User, When
from pxe.answers.shell import first_boot_script, key_script, step_script
from pxe.answers.targets import Target
from pxe.answers.unanswered import Unanswered, unanswered

Say = Callable[[Finding], None]
Values = dict[str, Any]
_KEYMAPS = {
    "us": "english-us", "uk": "english-uk", "gb": "english-uk", "de": "german", "ch": "german-ch",
    "fr": "french", "cz": "czech", "sk": "slovak", "pl": "polish", "es": "spanish", "it": "italian",
    "pt": "portugese", "br": "portugese-br", "ru": "russian", "se": "swedish", "no": "norwegian",
    "dk": "danish", "fi": "finnish", "nl": "dutch", "hu": "hungarian", "jp": "japanese", "tr": "turkish",
}  # fmt: skip
_NOT_HERE: tuple[Unanswered, ...] = (
    ("selinux", lambda p: p.selinux, "leave it out"),
    ("packages.environment", lambda p: p.packages.environment, "name patterns as groups"),
    ("kexec", lambda p: p.kexec, "leave it out"),
    ("bootloader.password", lambda p: p.bootloader and p.bootloader.password, "leave it out"),
)


def render(profile: Profile, target: Target, secrets: Mapping[str, str] | None = None) -> str:
    """The file's text. Raises Unfit with every finding."""
    findings = unanswered(profile, _NOT_HERE, "AutoYaST")
    say = findings.append
    values = _values(profile, target, secrets or {}, say)
    try:
        text = document(values)
    except ValueError as error:
        say(Finding(str(error)))
    if findings:
        raise Unfit(findings)
    return text


def _values(profile: Profile, target: Target, secrets: Mapping[str, str], say: Say) -> Values:
    values: Values = {"general": _general(profile, target, secrets, say)}
    plan = drives(profile.disks, secrets, say)
    values |= {"partitioning": plan} if plan is not None else {}
    values |= {
        "language": {"language": profile.language.partition(".")[0]},
        "keyboard": {"keymap": _KEYMAPS.get(profile.keyboard, profile.keyboard)},
        "timezone": {"hwclock": "UTC" if profile.utc else "localtime", "timezone": profile.timezone},
        "networking": networking(profile, say),
        "software": _software(profile, target),
        "users": Items("user", [_root(profile), *map(_user, profile.users)]),
        "services-manager": _services(profile),
        "scripts": _scripts(profile, say),
    }
    if profile.user_groups:
        values["groups"] = Items("group", [_group(one.name, one.gid) for one in profile.user_groups])
    if loader := profile.bootloader:
        said = {"append": loader.append or None, "timeout": loader.timeout}
        values["bootloader"] = {"global": {name: one for name, one in said.items() if one is not None}}
    if profile.firewall and profile.firewall.enabled is not None:
        values["firewall"] = _firewall(profile)
    elif profile.firewall:
        say(Finding("say whether it is enabled", "firewall"))
    if profile.ntp_servers:
        servers = [{"address": name, "iburst": True, "offline": False} for name in profile.ntp_servers]
        values["ntp-client"] = {"ntp_policy": "auto", "ntp_servers": Items("ntp_server", servers)}
    if profile.proxy:
        values["proxy"] = {"enabled": True, "http_proxy": profile.proxy, "https_proxy": profile.proxy}
    if added := _repositories(profile, say):
        values["add-on"] = {"add_on_products": Items("listentry", added)}
    return {name: value for name, value in values.items() if value}


def _general(profile: Profile, target: Target, secrets: Mapping[str, str], say: Say) -> Values:
    halt = profile.finish in ("poweroff", "halt", "shutdown")
    values: Values = {"mode": {"confirm": False, "final_halt": halt}}
    automatic = profile.disks.automatic
    if automatic is not None and not profile.disks.partitions:
        if target.major < 15:
            say(Finding("only since SLES 15; write partitions", "disks.automatic"))
        proposal: Values = {"lvm": not automatic.no_lvm and automatic.type in (None, "lvm")}
        if automatic.luks is not None:
            key = (automatic.luks.passphrase or "").removeprefix("secret:")
            if key not in secrets:
                say(Finding(f"there is no secret named {key or '(none)'}", "disks.automatic.luks"))
            proposal["encryption_password"] = secrets.get(key, "")
        values["storage"] = {"proposal": proposal}
    return values


def _software(profile: Profile, target: Target) -> Values:
    values: Values = {}
    if target.major >= 15:  # one medium has them all
        product = "Leap" if target.name.startswith(("leap", "opensuse")) else "SLES"
        values["products"] = Items("product", [product])
    packages = profile.packages
    for key, one, many in (
        ("patterns", "pattern", packages.groups), ("packages", "package", packages.names),
        ("remove-patterns", "pattern", packages.without_groups),
        ("remove-packages", "package", packages.without),
    ):  # fmt: skip
        values |= {key: Items(one, many)} if many else {}
    return values


def _root(profile: Profile) -> Values:
    password = profile.root.password if profile.root.password and not profile.root.locked else "!"
    return {"username": "root", "user_password": password, "encrypted": True}


def _user(user: User) -> Values:
    given = {
        "fullname": user.full_name, "uid": str(user.uid) if user.uid is not None else None,
        "gid": str(user.gid) if user.gid is not None else None, "home": user.home, "shell": user.shell,
        "grouplist": ",".join(user.groups),
    }  # fmt: skip
    password = "!" if user.locked or user.password is None else user.password
    values: Values = {"username": user.name, "user_password": password, "encrypted": True}
    return {**values, **{key: value for key, value in given.items() if value}}


def _group(name: str, gid: int | None) -> Values:
    return {"groupname": name, **({"gid": str(gid)} if gid is not None else {})}


def _services(profile: Profile) -> Values:
    services = {
        key: Items("service", names)
        for key, names in (("enable", profile.services.enabled), ("disable", profile.services.disabled))
        if names
    }
    return {"default_target": "multi-user", **({"services": services} if services else {})}


def _firewall(profile: Profile) -> Values:
    firewall = profile.firewall
    assert firewall is not None
    values: Values = {"enable_firewall": bool(firewall.enabled), "start_firewall": bool(firewall.enabled)}
    old = [name for name in ("ssh", "smtp", "http", "ftp") if getattr(firewall, name)]
    zone: Values = {"name": "public"}
    zone |= (
        {"services": Items("service", dict.fromkeys([*firewall.services, *old]))}
        if firewall.services or old
        else {}
    )
    ports = [port.replace(":", "/") if ":" in port else f"{port}/tcp" for port in firewall.ports]
    zone |= {"ports": Items("port", ports)} if ports else {}
    return {**values, "zones": Items("zone", [zone])} if len(zone) > 1 else values


def _repositories(profile: Profile, say: Say) -> list[Values]:
    found = []
    for number, one in enumerate(profile.repositories):
        if not one.url:
            say(Finding("needs a url", f"repositories[{number}]"))
            continue
        found.append({"media_url": one.url, "product_dir": "/", "name": one.name, "alias": one.name})
    return found


def _scripts(profile: Profile, say: Say) -> Values:
    before: list[Values] = []
    between: list[Values] = []
    after: list[Values] = []
    keys = "".join(key_script("root", key) for key in profile.root.keys)
    keys += "".join(key_script(user.name, key) for user in profile.users for key in user.keys)
    if keys:
        after.append(_script("keys.sh", keys, True))
    for number, step in enumerate(profile.scripts):
        name = f"step-{number}.sh"
        if step.when is When.PRE:
            before.append(_script(name, step_script(step, number)))
        elif step.when is When.PRE_INSTALL:
            between.append(_script(name, step_script(step, number)))
        elif step.when is When.POST:
            after.append(_script(name, step_script(step, number), not step.outside))
        elif step.when is not When.FIRST_BOOT:
            say(Finding(f"AutoYaST has no {step.when} step; use pre or post", f"scripts[{number}]"))
    if at_first := first_boot_script(profile.scripts):
        after.append(_script("first-boot.sh", at_first, True))
    kinds = (("pre-scripts", before), ("postpartitioning-scripts", between), ("chroot-scripts", after))
    return {key: Items("script", many) for key, many in kinds if many}


def _script(name: str, text: str, chrooted: bool | None = None) -> Values:
    values: Values = {"filename": name, "interpreter": "shell", "source": text}
    return {**values, **({"chrooted": chrooted} if chrooted is not None else {})}
