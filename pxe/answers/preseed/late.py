"""What Debian's installer has no question for, as one shell script that runs in the installed system."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pxe.answers.profile import Profile, When
from pxe.answers.shell import account_script, first_boot_script, key_script, step_script


def outside_script(profile: Profile) -> str:
    """What runs in the installer itself after that, the installed system being at /target."""
    return "".join(step.text for step in profile.scripts if step.when is When.POST and step.outside)


def late_script(profile: Profile) -> str:
    """The script; empty when there is nothing to do. Each step runs whatever the one before returned."""
    return "".join(_parts(profile))


def _parts(profile: Profile) -> Iterator[str]:
    for user in profile.users[1:]:
        yield account_script(user)
    for key in profile.root.keys:
        yield key_script("root", key)
    for user in profile.users:
        yield from (key_script(user.name, key) for key in user.keys)
    for unit in profile.services.enabled:
        yield shlex.join(["systemctl", "enable", unit]) + "\n"
    for unit in profile.services.disabled:
        yield shlex.join(["systemctl", "disable", unit]) + "\n"
    for number, step in enumerate(profile.scripts):
        if step.when is When.FIRST_BOOT:
            yield first_boot_script(step)
        elif step.when is When.POST and not step.outside:
            yield step_script(step, number)

