"""The key that signs our own package repositories, so that apt and dnf know them for ours.

RSA, because rpm of every age and the gpgv of every installer read it. Made once, below DATA_DIR/keys; GnuPG
is run as its own process, with that directory as its home, and its agent ends with each call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Invalid

WHO = "bootsrv package repositories"
_ATTEMPTS = 5
_GPG = ("gpg", "--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback")


class ArchiveKey:
    """The key in `home`, made when it is first needed. Raises Invalid without GnuPG, BootsrvError."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def inline(self, text: bytes) -> bytes:
        """The text with its signature around it, as `InRelease` has it."""
        return self._gpg(["--clearsign", "--digest-algo", "SHA512"], text)

    def detached(self, data: bytes) -> bytes:
        """A signature of its own, in ASCII: `Release.gpg`, `repomd.xml.asc`."""
        return self._gpg(["--armor", "--detach-sign", "--digest-algo", "SHA512"], data)

    def public(self, ascii_: bool = False) -> bytes:
        """The public key, as apt (`Signed-By`) and rpm (in ASCII) want it."""
        return self._gpg(["--export", *(["--armor"] if ascii_ else [])], b"")

    def _gpg(self, words: Sequence[str], data: bytes) -> bytes:
        self._prepare()
        return self._run(words, data)

    def _prepare(self) -> None:
        for tool, package in (("gpg", "gpg"), ("gpg-agent", "gpg-agent")):
            if shutil.which(tool) is None:
                raise Invalid(f"{tool} is missing on this machine; install the package {package}")
        if (self._home / "pubring.kbx").exists():
            return
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._home.chmod(0o700)
        self._run(["--passphrase", "", "--quick-generate-key", WHO, "rsa3072", "sign", "never"], b"")

    def _run(self, words: Sequence[str], data: bytes) -> bytes:
        """GnuPG's output. Its agent may be the one of the call before, on its way out: then once more."""
        for attempt in range(_ATTEMPTS):
            done = self._call([*_GPG, *words], data)
            self._call(["gpg-connect-agent", "--no-autostart", "killagent", "/bye"], b"")
            if not done.returncode:
                return done.stdout
            said = done.stderr.decode("utf-8", "replace").strip()
            if "agent" not in said:
                break
            time.sleep(0.2 * (attempt + 1))
        raise BootsrvError(f"gpg failed: {(said.splitlines() or ['no reason given'])[-1]}")

    def _call(self, command: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "GNUPGHOME": str(self._home)}
        return subprocess.run(command, input=data, capture_output=True, check=False, env=environment)


def archive_key(config: Config) -> ArchiveKey:
    """This server's key."""
    return ArchiveKey(config.data_dir / "keys" / "archive")
