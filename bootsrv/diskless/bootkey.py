"""The key that diskless boots are signed with, and what is secret to one diskless node: its SSH host key
and its machine id. All of it is derived from secrets of this appliance and stored nowhere else, so a node
keeps them over boots and versions, and loses them with its registration.

OpenSSH's private key format: PROTOCOL.key of OpenSSH; public keys: RFC 8709, RFC 4253 section 6.6.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

from bootsrv.model import Node
from bootsrv.registry.registry import Registry
from images import signature

BOOT, HOST, MACHINE = "boot-key", "host-keys", "machine-ids"  # the secrets' names
_KIND = b"ssh-ed25519"
_LINE = 70


def private(registry: Registry) -> bytes:
    """The private half, 32 bytes: for the service's processes alone."""
    return bytes.fromhex(registry.settings.secret(BOOT))


def public(registry: Registry) -> bytes:
    """The public half, which each first RAM disk carries."""
    return signature.public_key(private(registry))


def machine_id(registry: Registry, node: Node) -> str:
    """machine-id(5): 32 hex digits, marked as a random UUID is."""
    raw = bytearray(_derived(registry, MACHINE, node)[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    return raw.hex()


def host_key(registry: Registry, node: Node) -> dict[str, str]:
    """Its SSH host key as files below /etc/ssh, by name."""
    seed = _derived(registry, HOST, node)
    name = "ssh_host_ed25519_key"
    line = f"{_KIND.decode()} {base64.b64encode(_public_blob(seed)).decode()} {node.name}\n"
    return {name: openssh_private(seed, node.name or ""), f"{name}.pub": line}


def known_host(registry: Registry, node: Node) -> str:
    """What a known_hosts line says of it, without the name."""
    blob = _public_blob(_derived(registry, HOST, node))
    return f"{_KIND.decode()} {base64.b64encode(blob).decode()}"


def openssh_private(seed: bytes, comment: str) -> str:
    """An Ed25519 private key (32 bytes) as OpenSSH reads it, without a passphrase."""
    blob, check = _public_blob(seed), hashlib.sha256(seed).digest()[:4]
    pair = seed + signature.public_key(seed)
    secret = check * 2 + b"".join(map(_string, (_KIND, pair[32:], pair, comment.encode())))
    secret += bytes(range(1, 9))[: -len(secret) % 8]
    none = _string(b"none")
    body = b"openssh-key-v1\0" + none + none + _string(b"") + struct.pack(">I", 1) + _string(blob)
    text = base64.b64encode(body + _string(secret)).decode()
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    frame = "-----{} OPENSSH PRIVATE KEY-----".format
    return "\n".join([frame("BEGIN"), *lines, frame("END"), ""])


def _public_blob(seed: bytes) -> bytes:
    return _string(_KIND) + _string(signature.public_key(seed))


def _derived(registry: Registry, secret: str, node: Node) -> bytes:
    key = bytes.fromhex(registry.settings.secret(secret))
    return hmac.new(key, f"node {node.id}".encode(), hashlib.sha256).digest()


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
