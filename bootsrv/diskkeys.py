"""Passphrases of nodes' encrypted disks: derived from one secret of this appliance, stored nowhere.

Each is 150 bits of HMAC-SHA256 over the node's id, written so that a person can type it. The law: it leaves
this server only to the machine itself, by its own credential, or to an administrator who asks; removing a
node takes its credential away, and with it the machine's way to open its disk without a person.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from bootsrv.model import Node
from bootsrv.registry.registry import Registry

PURPOSE = "disk-key"  # of the tokens
SECRET = "disk-keys"  # noqa: S105 - the secret's name
SECONDS = 10 * 365 * 86400.0  # that the credential is good for
GROUP, GROUPS = 5, 6  # letters and digits


def passphrase(registry: Registry, node: Node) -> str:
    """The passphrase of this node's disks; the same for as long as the node is registered."""
    secret = bytes.fromhex(registry.settings.secret(SECRET))
    digest = hmac.new(secret, f"disk of node {node.id}".encode(), hashlib.sha256).digest()
    text = base64.b32encode(digest).decode("ascii").lower()
    return "-".join(text[at : at + GROUP] for at in range(0, GROUP * GROUPS, GROUP))


def sealed(layout: Mapping[str, Any]) -> bool:
    """Whether a layout (as JSON) encrypts anything."""
    return any(row.get("luks") for row in layout["partitions"])


def grant(registry: Registry, node: Node, mac: str, base: str, now: float) -> dict[str, str]:
    """What a deploy task carries: the passphrase, and the address and credential to ask for it later."""
    token = registry.tokens.issue(PURPOSE, str(node.id), now, SECONDS, {"mac": mac})
    return {"passphrase": passphrase(registry, node), "url": f"{base}/node/v1/diskkey", "token": token}
