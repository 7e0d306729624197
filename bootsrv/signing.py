"""The key that signs our own package repositories, so that apt and dnf know them for ours.

RSA, because rpm of every age and the gpgv of every installer read it. Made once, below DATA_DIR/keys; GnuPG
is run as its own process, with that directory as its home, and its agent ends with each call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootsrv.errors import BootsrvError, Invalid

WHO = "bootsrv package repositories"


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
        command = [
            "gpg",
            "--homedir",
            str(self._home),
            "--batch",
            "--no-tty",
            "--quiet",
            "--pinentry-mode",
            "loopback",
        ]
        done = subprocess.run(
            [*command, *words], input=data, capture_output=True, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        subprocess.run(
            ["gpg-connect-agent", "--homedir", str(self._home), "--no-autostart", "killagent", "/bye"],
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            raise BootsrvError(f"gpg failed: {said[-1]}")
        return done.stdout
