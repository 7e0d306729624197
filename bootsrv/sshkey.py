"""The server's own SSH key: how it logs in to nodes. Made once; the private half is for root alone.

Every node that is imaged lets its public half in, so nothing has to be handed round.
"""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from bootsrv.config import Config

log = logging.getLogger(__name__)


def private_file(config: Config) -> Path:
    """The private half."""
    return config.data_dir / "keys" / "ssh_ed25519"


def public_file(config: Config) -> Path:
    """The public half, which every process of the service may read."""
    return config.data_dir / "ssh_ed25519.pub"


def prepare(config: Config) -> None:
    """Make the key where there is none. Without ssh-keygen, nodes cannot be logged in to, and that is
    said.
    """
    private, public = private_file(config), public_file(config)
    if not private.exists():
        private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bootsrv", "-f", str(private)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            log.error("no ssh-keygen: `bootsrv push` cannot reach nodes; apt-get install openssh-client")
            return
        private.chmod(0o600)
    made = private.with_suffix(".pub")
    if not public.exists() and made.exists():
        public.write_bytes(made.read_bytes())
        public.chmod(0o644)


def public_line(config: Config) -> str | None:
    """The line for authorized_keys; None where no key could be made."""
    try:
        return public_file(config).read_text().strip() or None
    except FileNotFoundError:
        return None
