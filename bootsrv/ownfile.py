"""A machine's own boot file: the DHCP option `bootfile-name` of its node, its groups or its subnet. Pure.

For machines that boot something we did not make: PXELINUX, GRUB, a vendor's loader below `public/`. The law:
it counts only while nothing of ours is due: a machine that is armed, half written, failed or new boots the
imager, and a diskless one its root, whatever their options say, unless we have no loader that their firmware
can start. One that is to be installed keeps shim or GRUB, as Secure Boot wants it: GRUB is told as our iPXE
is (see `handover`). The server is us, unless `tftp-server-name` holds another address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from bootsrv.bootplan import Action, BootPlan
from pxe.dhcp.ports import BootFile, Client

# As Debian, Fedora and grub-mknetdir name them: shimx64.efi, bootnetx64.efi, grubx64.efi, core.efi.
_STARTS_GRUB = re.compile(r"(?:\A|/)(?:shim|grub|bootnet)[^/]*\Z|/core\.(?:efi|0)\Z")
NAME, SERVER = "bootfile-name", "tftp-server-name"
REASON = f"its own boot file (option {NAME})"


def own_file(plan: BootPlan, options: Mapping[str, Any]) -> str | None:
    """What the machine boots instead of its disk, by its merged options; None: nothing of its own."""
    name = named(options)
    if plan.action is Action.INSTALLER:
        return name if name is not None and _STARTS_GRUB.search(name) else None
    return None if plan.action in (Action.IMAGER, Action.DISKLESS) else name


def named(options: Mapping[str, Any]) -> str | None:
    """The boot file that somebody set."""
    name = options.get(NAME, options.get("filename"))
    return str(name) if name else None


def boot_file(
    name: str, options: Mapping[str, Any], client: Client, server: IPv4Address, http_port: int
) -> BootFile | None:
    """How the machine is told: HTTP Boot needs a URL, so a bare name means the file below `/public/`.

    None when the server is given by name: only the machine can resolve it, so the options go out as they are.
    """
    where = str(options.get(SERVER) or server)
    try:
        address = IPv4Address(where)
    except AddressValueError:
        return None
    if client.http_boot and "://" not in name:
        name = f"http://{address}:{http_port}/public/{name.lstrip('/')}"
    return BootFile(name, address, REASON)
