"""The boot plan in words that iPXE or GRUB and the imager's kernel understand. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

from bootsrv.bootplan import Action, BootPlan
from bootsrv.config import Config
from bootsrv.model import Node
from pxe import grub, ipxe

KERNEL = "imager/vmlinuz"
INITRD = "imager/initrd.img"
ROOT_KERNEL, ROOT_INITRD = "root/vmlinuz", "root/initrd.img"  # the machine's own: see `handout`
SERIAL = "serial"  # in the query: the machine's serial number, asked for where nodes are known by theirs
RETRY = "retry"  # in the query: asked again within one boot, by a script that failed


class Loader(Protocol):
    """A boot loader that is told what to do by text: `pxe.ipxe` or `pxe.grub`. All raise ValueError."""

    FILE: str

    def kernel(
        self, kernel_url: str, initrd_urls: Sequence[str], cmdline: str, note: str, retry_url: str | None,
        failure: str,
    ) -> str:
        """Boot a kernel."""

    def local(self, note: str = "", retry_url: str | None = None) -> str:
        """Boot the machine's own disk."""

    def message(self, text: str, retry_url: str, seconds: int = 10) -> str:
        """Show a line, wait, ask again."""


def loader_of(file: str) -> Loader:
    """Whose script it is, by its name."""
    return grub if file == grub.FILE else ipxe


def render(
    plan: BootPlan, node: Node | None, mac: str, config: Config, base: str, token: str, again: str,
    loader: Loader = ipxe,
) -> str:
    """The script for one machine. `base` is our URL as the machine sees it; `token` goes to its imager;
    `again` is asked when something fails (see `again_url`)."""
    who = node.name if node is not None and node.name else mac
    note = f"{who}: {plan.reason}"
    if plan.action is not Action.IMAGER or plan.purpose is None:
        return loader.local(note, again)
    line = cmdline(config, base, token, mac, str(plan.purpose))
    failure = "the imager could not be started"
    return loader.kernel(f"{base}/boot/{KERNEL}", [f"{base}/boot/{INITRD}"], line, note, again, failure)


def diskless(
    plan: BootPlan, node: Node, mac: str, config: Config, base: str, token: str, again: str, image_args: str,
    loader: Loader = ipxe,
) -> str:
    """The script of a machine that boots its image's kernel with a root of ours; `image_args` are the image's
    own words for its kernel."""
    note = f"{node.name or mac}: {plan.reason}"
    own = image_args.split()
    consoles = any(word.startswith("console=") for word in own)
    words = [
        f"bootsrv.url={base}",
        f"bootsrv.token={token}",
        f"bootsrv.mac={mac}",
        f"initrd={ROOT_INITRD.rpartition('/')[2]}",
        *([] if consoles else (f"console={console}" for console in config.imager.console)),
        *own,
    ]
    kernel, initrd = f"{base}/boot/{ROOT_KERNEL}", f"{base}/boot/{ROOT_INITRD}"
    failure = "its system over the network could not be started"
    return loader.kernel(kernel, [initrd], " ".join(words), note, again, failure)


def unready(
    node: Node | None, mac: str, again: str, reason: str, seconds: int = 15, loader: Loader = ipxe
) -> str:
    """What a machine is told while we cannot give it what it is to boot: why, and to ask again."""
    who = node.name if node is not None and node.name else mac
    return loader.message(f"{who}: {reason}", again, seconds)


def ask_serial(mac: str, base: str, server: str, arch: int | None) -> str:
    """What a machine that nobody knows is told where nodes are known by their serial numbers."""
    return ipxe.tell_serial(again_url(mac, base, server, arch), SERIAL)


def script_url(mac: str, base: str, query: Mapping[str, str], file: str = ipxe.FILE) -> str:
    """Where a machine's script is."""
    url = f"{base}/boot/{mac.replace(':', '-')}/{file}"
    return f"{url}?{urlencode(query)}" if query else url


def again_url(mac: str, base: str, server: str, arch: int | None, file: str = ipxe.FILE) -> str:
    """Where a script that failed asks for the next one; says that it is still the same boot."""
    query = {"server": server} if server else {}
    if arch is not None:
        query["arch"] = str(arch)
    return script_url(mac, base, {**query, RETRY: "1"}, file)


def cmdline(config: Config, base: str, token: str, mac: str, purpose: str) -> str:
    """The imager's kernel command line. The EFI stub finds its initrd only by `initrd=NAME`."""
    words = [
        f"bootsrv.url={base}",
        f"bootsrv.token={token}",
        f"bootsrv.mac={mac}",
        f"bootsrv.purpose={purpose}",
        *(f"console={console}" for console in config.imager.console),
        f"initrd={INITRD.rpartition('/')[2]}",
        *config.imager.kernel_args.split(),
    ]
    return " ".join(words)
