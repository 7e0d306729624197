"""What Debian's installer has no question for, as one shell script that runs in the installed system."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from pxe.answers.network import Method
from pxe.answers.preseed.ifupdown import first_card
from pxe.answers.profile import Bootloader, Profile, When
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


def takes_as_it_is(append: str | None) -> bool:
    """Whether grub-installer writes the kernel's words down as they are: it does so by sed, between double
    quotes, in a file that is a shell script."""
    return not append or re.search(r"""[^\w ,.:;=/+@%~^'()\[\]{}<>?*-]""", append, re.ASCII) is None


def outside_scripts(profile: Profile) -> Iterator[str]:
    """What runs in the installer itself after that, one by one, the installed system being at /target."""
    yield from (step.text for step in profile.scripts if step.when is When.POST and step.outside)


def error_script(profile: Profile) -> str:
    """What runs in the installer when a step that is to stop all has failed, before it says so on its screen
    and waits there for a person."""
    return "\n".join(step.text for step in profile.scripts if step.when is When.ERROR)


def late_script(profile: Profile) -> str:
    """The script; empty when there is nothing to do. Each step runs whatever the one before returned, and it
    ends well, but for a step that is to stop all."""
    script = "".join(_parts(profile))
    return f"{script}:\n" if script else ""


def _name_servers(profile: Profile) -> Iterator[str]:
    """The kernel's command line holds one; netcfg has written that."""
    card = first_card(profile)
    for server in card.name_servers[1:] if card.method is Method.STATIC else ():
        line = shlex.quote(f"nameserver {server}")
        yield f"grep -qxF {line} /etc/resolv.conf || echo {line} >> /etc/resolv.conf\n"


def _parts(profile: Profile) -> Iterator[str]:
    yield from _name_servers(profile)
    yield time_script(profile)
    if loader := profile.bootloader:  # the rest is an answer
        append = None if takes_as_it_is(loader.append) else loader.append
        yield loader_script(Profile(bootloader=Bootloader(timeout=loader.timeout, append=append)))
    yield from map(group_script, profile.user_groups)
    for user in profile.users[:1]:
        yield changed_account_script(user)
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
        if step.when is When.POST and not step.outside:
            yield step_script(step, number)
    yield first_boot_script(profile.scripts)
