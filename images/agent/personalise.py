"""Turns a freshly written image into this node: names, network, fstab, identity, keys, passwords, call home.

The law: what must differ between two machines of one image is made new here (machine-id, ssh host keys,
random seed), and nothing of the machine the image came from survives in it. Every path goes through `Root`,
so no link in the image leads out of it. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Callable

from images.agent.identity import Identity
from images.agent.netconfig import HEADER
from images.agent.netstyle import configure
from images.agent.rootfs import Root
from images.agent.run import CommandFailed, run

BEGIN, END = "# bootsrv: nodes (begin)", "# bootsrv: nodes (end)"
KEY_TYPES = ("ed25519", "ecdsa", "rsa")
CLOUD = (
    "network: {config: disabled}\npreserve_hostname: true\nmanage_etc_hosts: false\nssh_deletekeys: false\n"
    "datasource_list: [ None ]\n"
)
Say = Callable[[str], None]


def personalise(target: Path, node: Identity, fstab_lines: str, kernel_args: str, say: Say) -> dict[str, str]:
    """All of it; returns the public ssh host keys by type. Raises OSError, ImageError."""
    root = Root(target)
    try:
        root.write("/etc/hostname", f"{node.name}\n", 0o644)
        root.write("/etc/hosts", hosts(root.read_text("/etc/hosts"), node), 0o644)
        root.write("/etc/fstab", fstab(root.read_text("/etc/fstab"), fstab_lines), 0o644)
        say(f"{node.fqdn}: {configure(root, node)}")
        _machine_id(root)
        for name in ("/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed"):
            root.remove(name)
        _accounts(root, node)
        if root.is_dir("/etc/cloud"):
            root.write("/etc/cloud/cloud.cfg.d/99-bootsrv.cfg", HEADER + CLOUD, 0o644)
        if root.is_dir("/etc/default/grub.d") or root.exists("/etc/default/grub"):
            words = kernel_args.replace("\\", "").replace('"', "").replace("$", "").replace("`", "")
            root.write("/etc/default/grub.d/90-bootsrv.cfg", f'{HEADER}GRUB_CMDLINE_LINUX="{words}"\n', 0o644)
        _selinux(root)
        return _host_keys(root, target, say)
    finally:
        root.close()


def hosts(old: str, node: Identity) -> str:
    """/etc/hosts with the image's own lines, this node's name, and the other nodes in their own block."""
    own = {node.name, node.fqdn}
    kept, inside = [], False
    for line in old.splitlines():
        inside = (inside or line == BEGIN) and line != END
        words = line.partition("#")[0].split()
        old_self = words[:1] == ["127.0.1.1"] or bool(own & set(words[1:]))
        if not inside and line != END and not old_self:
            kept.append(line)
    if not any(line.split()[:1] == ["127.0.0.1"] for line in kept):
        kept[:0] = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    listed = any(own & set(row[1:]) for row in node.hosts)
    if not listed or node.method in ("dynamic", "untouched"):
        names = f"{node.fqdn} {node.name}" if node.fqdn != node.name else node.name
        kept.append(f"127.0.1.1\t{names}")
    block = ["\t".join((row[0], " ".join(row[1:]))) for row in node.hosts]
    return "\n".join([*kept, *([BEGIN, *block, END] if block else [])]) + "\n"


def fstab(old: str, lines: str) -> str:
    """Our partitions, and of the image's own lines only what is no disk of the machine it came from."""
    kept = []
    for line in old.splitlines():
        words = line.split()
        if not words or words[0].startswith("#") or len(words) < 3:
            continue
        local = words[0].startswith(("/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="))
        if not local and words[1] not in ("/", "/boot", "/boot/efi") and words[2] != "swap":
            kept.append(line)
    return HEADER + lines + "".join(f"{line}\n" for line in kept)


def _machine_id(root: Root) -> None:
    """A fresh id, written now: an empty file would do for systemd, but other inits never fill it."""
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    if root.exists("/etc/machine-id") or root.is_dir("/etc/systemd") or root.is_dir("/usr/lib/systemd"):
        root.write("/etc/machine-id", raw.hex() + "\n", 0o444)
    if root.is_dir("/var/lib/dbus"):
        root.link("/var/lib/dbus/machine-id", "/etc/machine-id")


def _accounts(root: Root, node: Identity) -> None:
    if node.keys:
        root.make_dirs("/root/.ssh", 0o700)
        root.write("/root/.ssh/authorized_keys", "\n".join(node.keys) + "\n", 0o600)
    if node.root_password_hash is not None:
        root.write("/etc/shadow", shadow(root.read_text("/etc/shadow"), node.root_password_hash))


def shadow(old: str, password_hash: str) -> str:
    """/etc/shadow with this hash for root, who is added if missing."""
    lines = old.splitlines()
    for number, line in enumerate(lines):
        fields = line.split(":")
        if fields[0] == "root" and len(fields) > 1:
            lines[number] = ":".join([fields[0], password_hash, *fields[2:]])
            break
    else:
        lines.insert(0, f"root:{password_hash}:::::::")
    return "\n".join(lines) + "\n"


def _selinux(root: Root) -> None:
    """Our files have no labels: where SELinux is on, the first boot labels the disk anew."""
    mode = re.search(r"^SELINUX=(\w+)", root.read_text("/etc/selinux/config"), re.MULTILINE)
    if mode is not None and mode.group(1) != "disabled":
        root.write("/.autorelabel", "")


def _host_keys(root: Root, target: Path, say: Say) -> dict[str, str]:
    """Fresh ssh host keys, made by the image's own ssh-keygen; {} where there is no ssh server.

    RSA only where the image asks for it by name: its key costs seconds, and every ssh since 2014 knows
    Ed25519.
    """
    for name in root.list("/etc/ssh"):
        if name.startswith("ssh_host_"):
            root.remove(f"/etc/ssh/{name}")
    if not root.exists("/usr/bin/ssh-keygen") or not root.exists("/usr/sbin/sshd"):
        return {}
    rsa = re.search(
        r"^\s*HostKey\s+\S*ssh_host_rsa_key", root.read_text("/etc/ssh/sshd_config"), re.MULTILINE
    )
    for kind in KEY_TYPES[:3] if rsa else KEY_TYPES[:2]:
        path = f"/etc/ssh/ssh_host_{kind}_key"
        try:
            run(
                ["chroot", str(target), "/usr/bin/ssh-keygen", "-q", "-N", "", "-t", kind, "-f", path],
                limit=120,
            )
        except CommandFailed as error:
            say(f"no {kind} ssh host key: {error}")
    found = {kind: root.read_text(f"/etc/ssh/ssh_host_{kind}_key.pub").split() for kind in KEY_TYPES}
    return {kind: " ".join(words[:2]) for kind, words in found.items() if words}
