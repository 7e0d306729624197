"""Writes a profile as a preseed file for Debian's installer, or says all that keeps it from being written.

Field facts: a value ends with its line, so scripts travel as base64; network questions are asked before a
preseed from the network is read, so `boot_arguments` puts them on the kernel's command line as well. After a
command of ours that ended badly the installer waits for a key, so one does only where that is wanted.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from pxe.answers.aptline import apt_source
from pxe.answers.cloud.netplan import MAC
from pxe.answers.errors import Finding, Unfit
from pxe.answers.network import Method
from pxe.answers.preseed import ifupdown
from pxe.answers.preseed.disks import disk_answers
from pxe.answers.preseed.late import error_script, late_script, outside_scripts, takes_as_it_is
from pxe.answers.profile import Profile, When
from pxe.answers.targets import Target
from pxe.answers.unanswered import Unanswered, unanswered

Answer = tuple[str, str, str]  # question, type, value
Say = Callable[[Finding], None]
_LINE = 60_000  # bytes of one value
_PRE = "/run/answers-pre"
_OUTSIDE = "/run/answers-post"
_LATE = "/root/.answers-late"
_NOT_HERE: tuple[Unanswered, ...] = (
    ("firewall", lambda p: p.firewall and p.firewall.enabled is not False,
     "install nftables, rules by script"),
    ("selinux", lambda p: p.selinux, "leave it out"),
    ("packages.environment", lambda p: p.packages.environment, "use groups"),
    ("packages.without_groups", lambda p: p.packages.without_groups, "name what is wanted"),
    ("packages.all", lambda p: p.packages.all, "name what is wanted"),
    ("packages.without", lambda p: p.packages.without, "remove them in a script"),
    ("bootloader.location", lambda p: p.bootloader and p.bootloader.location not in (None, "mbr"),
     "leave it out"),
    ("bootloader.disabled", lambda p: p.bootloader and p.bootloader.disabled, "leave it out"),
    ("kexec", lambda p: p.kexec, "leave it out"),
)  # fmt: skip


def render(profile: Profile, target: Target, secrets: Mapping[str, str] | None = None) -> str:
    """The file's text. Raises Unfit with every finding."""
    findings = unanswered(profile, _NOT_HERE, "Debian's installer")
    say = findings.append
    _refuse_steps(profile, say)
    lines = []
    for name, kind, value in _answers(profile, target, secrets or {}, say):
        if value.endswith("\\"):
            say(Finding("a backslash at the end would join the next line", name))
        lines.append(f"d-i {name} {kind} {value}".rstrip(" "))
    lines.append("popularity-contest popularity-contest/participate boolean false")
    tasks = ", ".join(profile.packages.groups) or "standard"
    lines.append(f"tasksel tasksel/first multiselect {tasks}")
    if findings:
        raise Unfit(findings)
    return "\n".join(lines) + "\n"


def _refuse_steps(profile: Profile, say: Say) -> None:
    for number, step in enumerate(profile.scripts):
        if step.when is When.PRE_INSTALL:
            say(Finding(f"Debian's installer has no {step.when} step; use pre or post", f"scripts[{number}]"))
        elif step.when in (When.PRE, When.ERROR) or step.outside:
            own = step.interpreter if step.interpreter != "/bin/sh" else None
            choices = {"interpreter": own, "log": step.log, "stop_on_error": step.stop_on_error}
            for field in (field for field, given in choices.items() if given):
                what = "a step in the installer's own system is plain sh, and its log is the installer's"
                say(Finding(what, f"scripts[{number}].{field}"))


def _answers(profile: Profile, target: Target, secrets: Mapping[str, str], say: Say) -> Iterator[Answer]:
    yield "debian-installer/locale", "string", profile.language
    if profile.more_languages:
        yield "localechooser/supported-locales", "multiselect", ", ".join(profile.more_languages)
    yield "keyboard-configuration/xkb-keymap", "select", profile.keyboard
    yield from network_answers(profile, say)
    yield from _mirror(profile, say)
    yield from _accounts(profile)
    yield "clock-setup/utc", "boolean", _flag(profile.utc)
    yield "time/zone", "string", profile.timezone
    yield "clock-setup/ntp", "boolean", _flag(not profile.no_ntp)
    if profile.ntp_servers:
        yield "clock-setup/ntp-server", "string", profile.ntp_servers[0]
    yield from disk_answers(profile.disks, target.major, secrets, say)
    yield from _loader(profile)
    yield "pkgsel/include", "string", _included(profile)
    yield "pkgsel/upgrade", "select", "full-upgrade"
    if early := [_early(step.text) for step in profile.scripts if step.when is When.PRE]:
        yield "preseed/early_command", "string", _fits("; ".join([*early, ":"]), say)
    network = ifupdown.script(profile, say) if ifupdown.needed(profile) else ""
    # netcfg copies its own file into the system after this, so it must be ours as well.
    ours = "cp /target/etc/network/interfaces /etc/network/interfaces\n" if network else ""
    inside = _late(network + late_script(profile), error_script(profile))
    steps = (inside, *map(_outside, (ours, *outside_scripts(profile))))
    if late := [part for part in steps if part]:
        yield "preseed/late_command", "string", _fits("; ".join([*late, ":"]), say)
    yield "finish-install/reboot_in_progress", "note", ""
    if profile.finish in ("poweroff", "halt", "shutdown"):
        yield f"debian-installer/exit/{'halt' if profile.finish == 'halt' else 'poweroff'}", "boolean", "true"


def _included(profile: Profile) -> str:
    wanted = [*profile.packages.names, "ca-certificates"]
    # Nothing else brings it, and a key is there to log in with.
    keys = profile.root.keys or any(user.keys for user in profile.users)
    wanted += ["openssh-server"] if keys else []
    wanted += ifupdown.packages(profile) if ifupdown.needed(profile) else ()
    return " ".join(dict.fromkeys(wanted))


def network_answers(profile: Profile, say: Say) -> Iterator[Answer]:
    """The questions of netcfg, for the file and for the kernel's command line."""
    interface = ifupdown.first_card(profile)
    if interface.device and MAC.match(interface.device):
        what = "Debian's installer knows cards by their names; leave it out for the one that was booted from"
        say(Finding(what, "network[0].device"))
    if interface.method in (Method.QUERY, Method.IBFT):
        say(Finding(f"Debian has no {interface.method}; use dhcp or static", "network[0].method"))
    named = interface.device not in (None, "link", "bootif")
    yield "netcfg/choose_interface", "select", interface.device if named and interface.device else "auto"
    name = profile.hostname or interface.hostname
    if name:
        host, _, domain = name.partition(".")
        yield "netcfg/get_hostname", "string", host
        yield "netcfg/get_domain", "string", domain
        yield "netcfg/hostname", "string", name
    if interface.method is Method.STATIC:
        yield "netcfg/disable_autoconfig", "boolean", "true"
        for question, field, value in (
            ("ipaddress", "address", interface.address),
            ("netmask", "netmask", interface.netmask),
            ("gateway", "gateway", interface.gateway),
            ("nameservers", "name_servers", " ".join(interface.name_servers)),
        ):
            if not value and field in ("address", "netmask"):
                say(Finding("a static address needs it", f"network[0].{field}"))
            yield f"netcfg/get_{question}", "string", value or ""
        yield "netcfg/confirm_static", "boolean", "true"


def _mirror(profile: Profile, say: Say) -> Iterator[Answer]:
    url = profile.source.url if profile.source else None
    yield "mirror/country", "string", "manual"
    if profile.source and not url:
        say(Finding("Debian's installer fetches from a mirror, by http or https: give its url", "source"))
    parts = urlsplit(url or "http://deb.debian.org/debian")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        say(Finding("must be the http or https address of a mirror", "source.url"))
        return
    host = parts.netloc.rpartition("@")[2]
    yield f"mirror/{parts.scheme}/hostname", "string", host
    yield f"mirror/{parts.scheme}/directory", "string", parts.path.rstrip("/") or "/"
    proxy = profile.proxy or (profile.source and profile.source.proxy) or ""
    yield f"mirror/{parts.scheme}/proxy", "string", proxy
    if url:
        # Who names a mirror may have no way to Debian's own servers; a service that cannot be reached stops
        # the installation. What is wanted beside the mirror is a repository of the profile.
        yield "apt-setup/services-select", "multiselect", ""
    if profile.source and profile.source.no_verify:
        yield "debian-installer/allow_unauthenticated", "boolean", "true"
    for number, repository in enumerate(profile.repositories):
        if not repository.url:
            say(Finding("needs a url", f"repositories[{number}]"))
            continue
        apt_source(repository.url, f"repositories[{number}].url", say)
        yield f"apt-setup/local{number}/repository", "string", repository.url
        yield f"apt-setup/local{number}/comment", "string", repository.name
        if repository.key:
            yield f"apt-setup/local{number}/key", "string", repository.key


def _accounts(profile: Profile) -> Iterator[Answer]:
    root = profile.root
    yield "passwd/root-login", "boolean", "true"
    # A hash that nothing matches: root has no password, and log-in by key still works. Not "!": since
    # Debian 13 the installer asks for a password then.
    password = root.password if root.password and not root.locked else "*"
    yield "passwd/root-password-crypted", "password", password
    first = profile.users[0] if profile.users else None
    yield "passwd/make-user", "boolean", _flag(first is not None)
    if first is not None:
        yield "passwd/user-fullname", "string", (first.full_name or "").strip() or first.name
        yield "passwd/username", "string", first.name
        yield "passwd/user-password-crypted", "password", first.password or "*"
        if first.uid is not None:
            yield "passwd/user-uid", "string", str(first.uid)
        if first.groups:
            yield "passwd/user-default-groups", "string", " ".join(first.groups)


def _loader(profile: Profile) -> Iterator[Answer]:
    loader = profile.bootloader
    yield "grub-installer/only_debian", "boolean", "true"
    yield "grub-installer/with_other_os", "boolean", "false"
    drive = (loader and loader.boot_drive) or "default"
    yield (
        "grub-installer/bootdev",
        "string",
        drive if drive == "default" else f"/dev/{drive.removeprefix('/dev/')}",
    )
    if loader is not None and loader.append and takes_as_it_is(loader.append):
        yield "debian-installer/add-kernel-opts", "string", loader.append
    if loader is not None and loader.leave_boot_order:
        yield "grub-installer/update-nvram", "boolean", "false"
    if loader is not None and loader.password:
        yield "grub-installer/password-crypted", "password", loader.password


def _early(script: str) -> str:
    """The installer's own busybox has no base64."""
    octal = "".join(f"\\{byte:03o}" for byte in script.encode())
    return f"printf '{octal}' > {_PRE}; sh {_PRE}"


def _late(script: str, on_error: str) -> str:
    if not script:
        return ""
    text = base64.b64encode(script.encode()).decode()
    unpack = f"in-target sh -c 'echo {text} | base64 -d > {_LATE}'"
    told = f"{{ {_outside(on_error)}; exit 1; }}" if on_error else "exit 1"
    return f"{unpack}; in-target sh {_LATE} || {told}; in-target rm -f {_LATE}"


def _outside(script: str) -> str:
    if not script:
        return ""
    text = base64.b64encode(script.encode()).decode()
    return f"echo {text} | chroot /target base64 -d > {_OUTSIDE}; sh {_OUTSIDE}"


def _fits(line: str, say: Say) -> str:
    if len(line) > _LINE:
        say(Finding(f"all scripts together are too long for one answer ({len(line)} bytes)", "scripts"))
    return line


def _flag(value: bool) -> str:
    return "true" if value else "false"
