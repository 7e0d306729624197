"""Makes a version's root this machine's: names, network, keys, call home, and the files that the server
rendered for it.

Nothing of it is in the image, and nothing of it has to be kept: at each boot all of it is laid anew over
the read-only root, and again into the running system when the server asks for that. The law: every path
goes through `Root`, so no link in the image leads out of it. Python 3.8, standard library only.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Mapping

from images.agent import home
from images.agent.identity import Identity, parse_identity
from images.agent.netconfig import netplan, networkd, resolv_conf
from images.agent.netroot import room
from images.agent.netstyle import configure, detect, enable
from images.agent.personalise import CLOUD, fstab, hosts, shadow
from images.agent.rootfs import Root
from images.errors import BadInput

HEADER = "# Written by bootsrv at each boot of this machine.\n"

KEEP_NAME = "/etc/systemd/network/04-bootsrv.link"
MOST_FILES = 4096
_MODE = re.compile(r"[0-7]{3,4}\Z")


def whole(root: Root, task: Mapping[str, Any], live: bool) -> str:
    """All of it, before the system starts; returns what was done about the network. `live`: the network
    must not be taken down again, since the root comes over it."""
    node = parse_identity(task["node"])
    root.write("/etc/hostname", f"{node.name}\n", 0o644)
    root.write("/etc/fstab", fstab(root.read_text("/etc/fstab"), ""), 0o644)
    done = _network(root, node) if live else configure(root, node)
    _machine_id(root, str(task.get("machine_id") or ""))
    for name in ("/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed"):
        root.remove(name)
    for name in root.list("/etc/ssh"):
        if name.startswith("ssh_host_") and name not in (task.get("ssh_host_keys") or {}):
            root.remove(f"/etc/ssh/{name}")  # the golden machine's, or of a boot before
    if node.root_password_hash is not None:
        root.write("/etc/shadow", shadow(root.read_text("/etc/shadow"), node.root_password_hash))
    if root.is_dir("/etc/cloud"):
        root.write("/etc/cloud/cloud.cfg.d/99-bootsrv.cfg", HEADER + CLOUD, 0o644)
    home.install(root, home.parse_callback(task["callback"]), str(task["image"]["ref"]))
    room.install(root)
    again(root, task)
    return done


def again(root: Root, task: Mapping[str, Any]) -> list[str]:
    """What may change while the machine runs: the other nodes' names, who may log in, the server's own files.
    Returns the paths that were different."""
    node, before = parse_identity(task["node"]), {}
    wanted: dict[str, tuple[bytes, int]] = {
        "/etc/hosts": (hosts(root.read_text("/etc/hosts"), node).encode(), 0o644)
    }
    if node.keys:
        root.make_dirs("/root/.ssh", 0o700)
        wanted["/root/.ssh/authorized_keys"] = ("\n".join((*node.keys, "")).encode(), 0o600)
    for path, text in (task.get("ssh_host_keys") or {}).items():
        private = not str(path).endswith(".pub")
        if root.is_dir("/etc/ssh"):
            wanted[f"/etc/ssh/{_plain(path)}"] = (str(text).encode(), 0o600 if private else 0o644)
    wanted.update(_files(task))
    for path, (data, mode) in wanted.items():
        if root.read(path) != data or root.mode(path) != mode:
            before[path] = True
            root.write(path, data, mode)
    return sorted(before)


def _files(task: Mapping[str, Any]) -> dict[str, tuple[bytes, int]]:
    """The rendered files: [{"path", "mode", "data" (base64)}]. Raises BadInput."""
    rows = task.get("files") or []
    if len(rows) > MOST_FILES:
        raise BadInput(f"{len(rows)} files of its own; at most {MOST_FILES}")
    found: dict[str, tuple[bytes, int]] = {}
    for row in rows:
        path, mode = str(row["path"]), str(row.get("mode") or "644")
        if not path.startswith("/") or {".", ".."} & set(path.split("/")) or not _MODE.match(mode):
            raise BadInput(f"{path!r} is not a file of a system")
        found[path] = (base64.b64decode(row["data"]), int(mode, 8))
    return found


def _network(root: Root, node: Identity) -> str:
    """The card that the root comes over keeps its address, whatever the image's software thinks of it."""
    style = detect(root)
    # udev renames no card that is up, and systemd-networkd then waits for the new name forever.
    kept = f"[Match]\nPermanentMACAddress={node.mac}\nType=ether\n\n[Link]\nNamePolicy=keep\n"
    root.write(KEEP_NAME, HEADER + kept, 0o644)
    if style in ("networkd", "netplan") and node.method != "untouched":
        done = configure(root, node)
        files = (networkd if style == "networkd" else netplan)(node)
        for path, file in files.items():
            root.write(path, _staying(file.text, style), file.mode)
        if style == "networkd":
            enable(root, "systemd-networkd.service")
        return f"{done}, never taken down"
    if style == "networkmanager":
        text = f"{HEADER}[keyfile]\nunmanaged-devices=mac:{node.mac}\n"
        root.write("/etc/NetworkManager/conf.d/05-bootsrv.conf", text, 0o644)
    elif style == "ifupdown":
        root.write("/etc/network/interfaces", HEADER + "auto lo\niface lo inet loopback\n", 0o644)
    if node.dns and not root.is_link("/etc/resolv.conf"):
        root.write("/etc/resolv.conf", resolv_conf(node), 0o644)
    return f"{style or 'no network software'}: the card is left as the boot set it up"


def _staying(text: str, style: str) -> str:
    """The same configuration, of a card that may not lose its address."""
    if style == "networkd":
        return text.replace("[Network]\n", "[Network]\nKeepConfiguration=yes\n", 1)
    return text.replace("      match:\n", "      critical: true\n      match:\n", 1)


def _machine_id(root: Root, wanted: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{32}", wanted):
        raise BadInput("the server gave no machine id")
    root.write("/etc/machine-id", f"{wanted}\n", 0o444)
    if root.is_dir("/var/lib/dbus"):
        root.link("/var/lib/dbus/machine-id", "/etc/machine-id")


def _plain(name: object) -> str:
    text = str(name)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", text):
        raise BadInput(f"{text!r} is not the name of a key")
    return text
