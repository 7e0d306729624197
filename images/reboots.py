"""Which changed files only a reboot brings to work: the kernel, and what processes that never end run.

One rule for the plan, which knows manifests alone, and for the machine, which has just switched. Pure; Python
3.8, standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_RULES = (
    ("kernel", re.compile(rb"boot/vmlinu[xz]|boot/(kernel|bzImage)")),
    ("systemd", re.compile(rb"(usr/)?lib/systemd/systemd\Z")),
    ("libc", re.compile(rb"(usr/)?lib(64)?/([^/]+/)?(libc\.so\.|libc-[0-9]|ld-linux|ld-musl)")),
    ("dbus", re.compile(rb"(usr/)?bin/dbus-(daemon|broker)\Z")),
)


def reasons(changed: Iterable[bytes]) -> list[str]:
    """Why a reboot is needed after the content of these manifest paths changed; [] when it is not."""
    found = {name for path in changed for name, rule in _RULES if rule.match(path)}
    return [name for name, _ in _RULES if name in found]
