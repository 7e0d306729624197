"""Shell text for what an installer has no directive for: accounts, keys, a script for the first boot.

The first-boot script runs once, before log-ins are offered, and takes itself away whatever it returned; its
output stays in /var/log/bootsrv-first-boot.log. systemd where there is one, rc.local's place elsewhere.
"""

from __future__ import annotations

import shlex

from pxe.answers.profile import Step, User

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


def first_boot_script(step: Step) -> str:
    """Shell that leaves the step's script for the first boot."""
    return at_boot(_FIRST, "Work of the first boot", f"#!{step.interpreter or '/bin/sh'}\n{step.text}")


def at_boot(name: str, title: str, body: str, until_done: bool = False) -> str:
    """Shell that leaves a script, `body`, for the next boot, which it does not outlive; with `until_done` it
    stays until it has ended well. Of two, the first boot's own comes first."""
    script, unit, rc = f"{_PLACE}/{name}", f"/etc/systemd/system/{name}.service", f"/etc/init.d/{name}"
    own = (
        "#!/bin/sh\n"
        f"{script}.body >/var/log/{name}.log 2>&1{' || exit' if until_done else ''}\n"
        f"systemctl disable {name} 2>/dev/null; chkconfig --del {name} 2>/dev/null\n"
        f"rm -f {script}.body {script} {unit} {rc}\n"
    )
    after = "" if name == _FIRST else f" {_FIRST}.service"
    return (
        f"mkdir -p {_PLACE}\n"
        + heredoc(f"{script}.body", body)
        + heredoc(script, own)
        + f"chmod 755 {script} {script}.body\n"
        + "if [ -d /etc/systemd/system ]; then\n"
        + heredoc(unit, _UNIT.format(script=script, title=title, after=after))
        + f"systemctl enable {name}\nelse\n"
        + heredoc(rc, _RC.format(script=script, title=title))
        + f"chmod 755 {rc}; chkconfig --add {name}\nfi\n"
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
    return "\n".join(lines) + "\n"


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
