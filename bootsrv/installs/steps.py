"""What is put into every answer file beside the profile: the installer tells us where it is, and the
installed system calls home at its first boot, once. Pure.

Each environment talks with what it is sure to have: Debian's installer has wget and a busybox, everything
else has bash, which opens TCP connections by itself. The law: not to reach us never fails an installation,
but the end is told with patience: a machine whose end is not heard of is installed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import msgspec

from pxe.answers.profile import Profile, Raw, Step, When
from pxe.answers.shell import at_boot
from pxe.answers.targets import Dialect, Target

HOME_UNIT = "bootsrv-home"
_TRIES, _PAUSE = 20, 3  # the end is told for a minute
_ERROR_LOGS = "/tmp/anaconda.log /tmp/program.log /tmp/packaging.log"  # noqa: S108  # where Anaconda has them
_DEBIAN_LINES = 60  # of its log, where the last script said why
_UBUNTU_LOG = "/var/log/installer/subiquity-curtin-install.log"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Where one armed boot's machine calls: `tell` ends in `/`, the kind follows; `home` with its token."""

    tell: str
    home: str
    home_token: str


def with_callbacks(profile: Profile, target: Target, calls: Callbacks) -> Profile:
    """The profile with our own steps around its own."""
    if target.dialect is Dialect.KICKSTART:
        return _kickstart(profile, target, calls)
    home = Step(when=When.POST, text=_home(calls))
    if target.dialect is Dialect.PRESEED:
        first = Step(when=When.PRE, text=_wget(f"{calls.tell}started", 2))
        last = Step(when=When.POST, outside=True, text=_wget(f"{calls.tell}done", _TRIES))
        failed = Step(when=When.ERROR, text=_late_failed(calls))
        return replace_steps(profile, first, *profile.scripts, home, last, failed)
    if target.dialect is Dialect.AUTOINSTALL:
        first = Step(when=When.PRE, text=_in_bash(_post(f"{calls.tell}started", 2)))
        last = Step(when=When.POST, outside=True, text=_in_bash(_post(f"{calls.tell}done", _TRIES)))
        failed = Step(when=When.ERROR, text=_in_bash(_failed(calls, _UBUNTU_LOG)))
        return replace_steps(profile, first, *profile.scripts, home, last, failed)
    return replace_steps(profile, *profile.scripts, home)


def replace_steps(profile: Profile, *steps: Step) -> Profile:
    """The profile with exactly these steps."""
    return msgspec.structs.replace(profile, scripts=steps)


def _kickstart(profile: Profile, target: Target, calls: Callbacks) -> Profile:
    """Accounts and keys are written behind the scripts, so the end is told by a section of its own."""
    bash = "/bin/bash"
    first = Step(when=When.PRE, interpreter=bash, text=_post(f"{calls.tell}started", 2))
    home = Step(when=When.POST, text=_home(calls))
    steps = [first, *profile.scripts, home]
    if (target.line == "fedora" and target.major >= 25) or (target.line == "rhel" and target.major >= 8):
        steps.append(Step(when=When.ERROR, interpreter=bash, text=_failed(calls, _ERROR_LOGS)))
    lines = [f"%post --interpreter={bash}", *_post(f"{calls.tell}done", _TRIES).splitlines()]
    ended = (target.line == "fedora" and target.major >= 8) or (target.line == "rhel" and target.major >= 6)
    end = Raw(lines=(*lines, *(["%end"] if ended else [])), section=True)
    return msgspec.structs.replace(profile, scripts=tuple(steps), raw=(*profile.raw, end))


def _home(calls: Callbacks) -> str:
    """Shell that leaves the call home for the first boot."""
    call = _post(calls.home, 200, calls.home_token, "hostname=$(hostname)&kernel=$(uname -r)", must=True)
    return at_boot(
        HOME_UNIT, "Tell the server that this machine runs", [f"#!/bin/bash\n{call}"], until_done=True
    )


def _late_failed(calls: Callbacks) -> str:
    """Shell of Debian's installer, which would wait for a key and tell nobody."""
    end = f'--post-data="$(tail -n {_DEBIAN_LINES} /var/log/syslog)"'
    error = quote("a script that must not fail has failed; the log says what it said")
    return _wget(f"{calls.tell}log", 2, end) + _wget(f"{calls.tell}failed?error={error}", _TRIES)


def _wget(url: str, tries: int, more: str = "") -> str:
    """Shell of Debian's installer: fetch the URL, and never mind the answer's text."""
    return (
        f"n=0; until wget -T 20 -q -O /dev/null {more}{' ' if more else ''}'{url}'; do n=$((n+1)); "
        f"[ $n -ge {tries} ] && break; sleep {_PAUSE}; done\n"
    )


def _failed(calls: Callbacks, logs: str) -> str:
    """bash that sends the ends of the installer's logs, and then that it has failed."""
    return (
        f"body=$(tail -c 30000 {logs} 2>/dev/null)\n"
        + _post(f"{calls.tell}log", 2, body="$body")
        + _post(f"{calls.tell}failed", _TRIES)
    )


def _in_bash(text: str) -> str:
    """Ubuntu runs commands with sh."""
    return f"bash <<'END_OF_BASH'\n{text}END_OF_BASH\n"


def _post(url: str, tries: int, token: str = "", body: str = "", must: bool = False) -> str:
    """bash: one POST, tried again until it is answered with 200. Ends well whatever became of it, but for
    `must`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    bearer = f"Authorization: Bearer {token}\\r\\n" if token else ""
    kind = "application/x-www-form-urlencoded" if token else "text/plain"
    head = (
        f"POST {parts.path} HTTP/1.0\\r\\nHost: {host}:{port}\\r\\n{bearer}Content-Type: {kind}\\r\\n"
        "Content-Length: %d\\r\\n\\r\\n%s"
    )
    return (
        f'say() {{ LC_ALL=C; local text="{body}"; exec 3<>/dev/tcp/{host}/{port} || return 1; '
        f'printf \'{head}\' "${{#text}}" "$text" >&3; '
        'local code; read -r -t 20 _ code _ <&3; exec 3>&-; [ "$code" = 200 ]; }\n'
        f"n=0; until say 2>/dev/null; do n=$((n+1)); [ $n -ge {tries} ] && break; sleep {_PAUSE}; done\n"
        + (f"[ $n -lt {tries} ]\n" if must else ":\n")
    )
