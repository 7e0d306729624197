"""Shell text for what an installer has no directive for: accounts, keys, a script for the first boot.

The first-boot script runs once, before log-ins are offered, and takes itself away whatever it returned; its
output stays in /var/log/bootsrv-first-boot.log. systemd where there is one, rc.local's place elsewhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from pxe.answers.profile import Profile, Step, User, UserGroup, When

_PLACE = "/usr/local/sbin"
_FIRST = "bootsrv-first-boot"
_UNIT = """[Unit]
Description={title}
After=network-online.target{after}
Wants=network-online.target
Before=getty.target
[Service]
Type=oneshot
ExecStart={script}
[Install]
WantedBy=multi-user.target
"""
_RC = """#!/bin/sh
# chkconfig: 345 99 01
# description: {title}
exec {script}
"""


def heredoc(path: str, text: str) -> str:
    """Shell that writes `text` to `path`, whatever the text is."""
    mark, number = "END_OF_FILE", 0
    while mark in text:
        number += 1
        mark = f"END_OF_FILE_{number}"
    body = text if text.endswith("\n") or not text else text + "\n"
    return f"cat > {shlex.quote(path)} <<'{mark}'\n{body}{mark}\n"


def first_boot_script(steps: Iterable[Step]) -> str:
    """Shell that leaves the steps of the first boot for it, to run one after the other; "" for none."""
    bodies = [f"#!{one.interpreter or '/bin/sh'}\n{one.text}" for one in steps if one.when is When.FIRST_BOOT]
    return at_boot(_FIRST, "Work of the first boot", bodies) if bodies else ""


def at_boot(name: str, title: str, bodies: Sequence[str], until_done: bool = False) -> str:
    """Shell that leaves scripts for the next boot, which they do not outlive; with `until_done` they stay
    until the last has ended well. Of two names, the first boot's own comes first."""
    script, unit, rc = f"{_PLACE}/{name}", f"/etc/systemd/system/{name}.service", f"/etc/init.d/{name}"
    parts = [f"{script}.body{number or ''}" for number in range(len(bodies))]
    all_of_them = parts[0] if len(parts) == 1 else "{ " + "".join(f"{part}; " for part in parts) + "}"
    own = (
        "#!/bin/sh\n"
        f"{all_of_them} >/var/log/{name}.log 2>&1{' || exit' if until_done else ''}\n"
        f"systemctl disable {name} 2>/dev/null; chkconfig --del {name} 2>/dev/null\n"
        f"rm -f {' '.join(parts)} {script} {unit} {rc}\n"
    )
    after = "" if name == _FIRST else f" {_FIRST}.service"
    return (
        f"mkdir -p {_PLACE}\n"
        + "".join(heredoc(part, body) for part, body in zip(parts, bodies, strict=True))
        + heredoc(script, own)
        + f"chmod 755 {script} {' '.join(parts)}\n"
        + "if [ -d /etc/systemd/system ]; then\n"
        + heredoc(unit, _UNIT.format(script=script, title=title, after=after))
        + f"systemctl enable {name}\nelse\n"
        + heredoc(rc, _RC.format(script=script, title=title))
        + f"chmod 755 {rc}; chkconfig --add {name}\nfi\n"
    )


def time_script(profile: Profile) -> str:
    """Shell that says systemd's own client which time servers there are, or that there shall be none."""
    if profile.no_ntp:
        return "systemctl disable systemd-timesyncd\n"
    if not profile.ntp_servers:
        return ""
    place = "/etc/systemd/timesyncd.conf.d"
    return f"mkdir -p {place}\n" + heredoc(
        f"{place}/servers.conf", f"[Time]\nNTP={' '.join(profile.ntp_servers)}\n"
    )


def loader_script(profile: Profile) -> str:
    """Shell that gives GRUB of Debian's kind what an installer has no answer for."""
    loader = profile.bootloader
    if loader is None or (not loader.append and loader.timeout is None):
        return ""
    lines = f"GRUB_TIMEOUT={loader.timeout}\n" if loader.timeout is not None else ""
    if loader.append:
        lines += f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX "{shlex.quote(loader.append)}\n'
    place = "/etc/default/grub.d"
    return f"mkdir -p {place}\n" + heredoc(f"{place}/answers.cfg", lines) + "update-grub\n"


def group_script(group: UserGroup) -> str:
    """Shell that makes a group."""
    number = ["-g", str(group.gid)] if group.gid is not None else []
    return shlex.join(["groupadd", *number, group.name]) + "\n"


def _groups(user: User) -> str:
    """Shell that makes the user's groups which are not there, as Anaconda does."""
    names = map(shlex.quote, user.groups)
    return "".join(f"getent group {name} >/dev/null || groupadd {name}\n" for name in names)


def _own_group(user: User, verb: str) -> str:
    """Shell after which there is the number of the user's own group. `verb`: groupadd, or groupmod."""
    if user.gid is None:
        return ""
    return f"getent group {user.gid} >/dev/null || {verb} -g {user.gid} {shlex.quote(user.name)}\n"


def changed_account_script(user: User) -> str:
    """Shell that gives an account which the installer made what it could not be told."""
    words = ["usermod", *(["-u", str(user.uid)] if user.uid is not None else [])]
    words += ["-aG", ",".join(user.groups)] if user.groups else []
    words += ["-g", str(user.gid)] if user.gid is not None else []
    words += ["-s", user.shell] if user.shell else []
    words += ["-m", "-d", user.home] if user.home else []
    words += ["-L"] if user.locked else []
    return (
        _groups(user)
        + _own_group(user, "groupmod")
        + (shlex.join([*words, user.name]) + "\n" if words[1:] else "")
    )


def account_script(user: User) -> str:
    """Shell that makes an account."""
    words = ["useradd", "-m"]
    given = {
        "-c": user.full_name, "-u": user.uid, "-g": user.gid, "-d": user.home, "-s": user.shell,
        "-G": ",".join(user.groups), "-p": user.password,
    }  # fmt: skip
    for flag, value in given.items():
        words += [flag, str(value)] if value not in (None, "") else []
    lines = [shlex.join([*words, user.name])]
    lines += [shlex.join(["usermod", "-L", user.name])] if user.locked else []
    return _groups(user) + _own_group(user, "groupadd") + "\n".join(lines) + "\n"


def step_script(step: Step, number: int) -> str:
    """Shell that runs a step in the installed system, by its own interpreter."""
    file = f"/root/.answers-post-{number}"
    log = f" >{shlex.quote(step.log)} 2>&1" if step.log else ""
    stop = " || exit 1" if step.stop_on_error else ""
    body = f"#!{step.interpreter or '/bin/sh'}\n{step.text}"
    return f"{heredoc(file, body)}chmod 700 {file}; {file}{log}{stop}\nrm -f {file}\n"


def key_script(account: str, key: str) -> str:
    """Shell that adds a public key to an account."""
    name = shlex.quote(account)
    return (
        f"home=$(getent passwd {name} | cut -d: -f6)\n"
        'mkdir -p "$home/.ssh"\n'
        f"printf '%s\\n' {shlex.quote(key)} >> \"$home/.ssh/authorized_keys\"\n"
        f'chmod 700 "$home/.ssh"; chmod 600 "$home/.ssh/authorized_keys"; chown -R {name} "$home/.ssh"\n'
    )
