"""Finds out which network software an image uses, writes its files, and makes sure that it will be started.

What is enabled counts before what is merely installed. Files of other machines (cloud-init's netplan,
NetworkManager connections bound to the golden machine's card) are moved out of the way, not deleted. Python
3.8, standard library only.
"""

from __future__ import annotations

from images.agent.identity import Identity
from images.agent.netconfig import STYLES, resolv_conf
from images.agent.rootfs import Root

UNIT_DIRS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
STUB = "../run/systemd/resolve/stub-resolv.conf"


def detect(root: Root) -> str | None:
    """The style's name, or None when the image has no network software that we know."""
    netplan = any(root.exists(p) for p in ("/usr/sbin/netplan", "/sbin/netplan", "/usr/bin/netplan"))
    if netplan and root.is_dir("/etc/netplan"):
        return "netplan"
    if enabled(root, "NetworkManager.service"):
        return "networkmanager"
    if enabled(root, "systemd-networkd.service"):
        return "networkd"
    if root.is_dir("/etc/network") and any(root.exists(p) for p in ("/sbin/ifup", "/usr/sbin/ifup")):
        return "ifupdown"
    if root.exists("/usr/sbin/NetworkManager"):
        return "networkmanager"
    if unit(root, "systemd-networkd.service"):
        return "networkd"
    return None


def unit(root: Root, name: str) -> str | None:
    """Where systemd finds the unit's file."""
    return next((f"{folder}/{name}" for folder in UNIT_DIRS if root.exists(f"{folder}/{name}")), None)


def enabled(root: Root, name: str) -> bool:
    """Whether some target wants the unit."""
    folder = "/etc/systemd/system"
    wants = [f for f in root.list(folder) if f.endswith((".wants", ".requires"))]
    return any(name in root.list(f"{folder}/{target}") for target in wants)


def enable(root: Root, name: str, target: str = "multi-user.target") -> bool:
    """What `systemctl enable` would do; False when the image has no such unit."""
    found = unit(root, name)
    if found is None:
        return False
    if not enabled(root, name):
        root.link(f"/etc/systemd/system/{target}.wants/{name}", found)
    return True


def configure(root: Root, node: Identity) -> str:
    """Writes the node's network files; returns what was done in a few words."""
    if node.method == "untouched":
        return "network files left as they are"
    style = detect(root)
    if style is None:
        return "the image has no network software that we know; its files are left as they are"
    _set_aside(root, style)
    for path, file in STYLES[style](node).items():
        root.write(path, file.text, file.mode)
    resolved = unit(root, "systemd-resolved.service") is not None
    if style == "networkd":
        enable(root, "systemd-networkd.service")
        enable(root, "systemd-networkd-wait-online.service", "network-online.target")
        if resolved:
            enable(root, "systemd-resolved.service")
    _resolver(root, node, style, resolved)
    return f"{style}, {node.method}" + (f" {node.address}" if node.method == "static" else "")


def _resolver(root: Root, node: Identity, style: str, resolved: bool) -> None:
    """/etc/resolv.conf, where nothing in the image would write it."""
    if root.is_link("/etc/resolv.conf"):
        return
    if style in ("networkd", "netplan") and resolved:
        root.link("/etc/resolv.conf", STUB)
    elif node.dns and (style in ("networkd", "netplan") or (style == "ifupdown" and node.method == "static")):
        root.write("/etc/resolv.conf", resolv_conf(node), 0o644)


def _set_aside(root: Root, style: str) -> None:
    """Moves away what would compete for the card: it describes the machine that the image was made on."""
    folders = {
        "netplan": ("/etc/netplan", (".yaml", ".yml")),
        "networkmanager": ("/etc/NetworkManager/system-connections", ("",)),
        "ifupdown": ("/etc/network/interfaces.d", ("",)),
    }
    folder, endings = folders.get(style, ("", ()))
    for name in root.list(folder) if folder else []:
        if name.endswith(endings) and not name.endswith(".bootsrv-orig") and not name.startswith("."):
            _move(root, f"{folder}/{name}")
    if style == "ifupdown":
        _move(root, "/etc/network/interfaces")


def _move(root: Root, path: str) -> None:
    """Into /var/lib/bootsrv/original, so that no pattern of any program picks it up where it was."""
    data = root.read(path)
    if data is not None:
        root.write("/var/lib/bootsrv/original" + path, data, 0o600)
        root.remove(path)
