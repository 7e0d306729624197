"""Password hashes by the system's libcrypt, through ctypes: the `crypt` module is gone since Python 3.13.

SHA-512 ($6$): every installer since RHEL 5.2 and Debian 5 takes it, where yescrypt is newer than many.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import secrets

from bootsrv.errors import BootsrvError

_SALT = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 500_000  # about a fifth of a second; the default of 5,000 is from 2007


def _library() -> ctypes.CDLL:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt")):
        if name:
            try:
                library = ctypes.CDLL(name)
            except OSError:
                continue
            library.crypt.restype = ctypes.c_char_p
            library.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
            return library
    raise BootsrvError("libcrypt is missing on this machine; install the package libcrypt1")


def hashed(password: str) -> str:
    """The hash of a password as /etc/shadow has it. Raises BootsrvError."""
    salt = "".join(secrets.choice(_SALT) for _ in range(16))
    done: bytes | None = _library().crypt(password.encode(), f"$6$rounds={_ROUNDS}${salt}$".encode())
    if done is None or not done.startswith(b"$6$"):
        raise BootsrvError("libcrypt could not make a SHA-512 hash")
    return done.decode()
