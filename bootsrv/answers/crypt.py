"""Password hashes by the system's libcrypt, through ctypes: the `crypt` module is gone since Python 3.13.

SHA-512 ($6$): every installer since RHEL 5.2 and Debian 5 takes it, where yescrypt is newer than many.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import secrets

from bootsrv.errors import BootsrvError, Invalid
from pxe.answers.text import is_line

_SALT = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GRUB_ROUNDS = 10_000  # as grub-mkpasswd-pbkdf2 has it: GRUB itself is slow
_PLACE = 1 << 18  # bytes; the largest `struct crypt_data`, of old C libraries, has half of that
_LONGEST = 511  # bytes; libcrypt takes no more
_ROUNDS = 500_000  # about a fifth of a second; the default of 5,000 is from 2007


def _library() -> ctypes.CDLL:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt")):
        if name:
            try:
                library = ctypes.CDLL(name)
            except OSError:
                continue
            library.crypt_r.restype = ctypes.c_char_p
            library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)
            return library
    raise BootsrvError("libcrypt is missing on this machine; install the package libcrypt1")


def hashed(password: str) -> str:
    """The hash of a password as /etc/shadow has it. Raises BootsrvError."""
    return _crypted(password, f"$6$rounds={_ROUNDS}$", 16)


def typed_hashed(password: str) -> str:
    """The same, of what a person typed. Raises Invalid for what could not be typed at a log-in."""
    if not password or not is_line(password) or len(password.encode()) > _LONGEST:
        raise Invalid(f"a password is one line of text, of at most {_LONGEST} bytes")
    return hashed(password)


def loader_hashed(password: str, old: bool) -> str:
    """The hash of a boot loader's password: PBKDF2 as GRUB 2 has it, or for an `old` one MD5, which is all
    that GRUB before 2 takes. Raises BootsrvError."""
    if old:
        return _crypted(password, "$1$", 8)
    salt = secrets.token_bytes(64)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _GRUB_ROUNDS, 64)
    return f"grub.pbkdf2.sha512.{_GRUB_ROUNDS}.{salt.hex().upper()}.{key.hex().upper()}"


def _crypted(password: str, kind: str, salted: int) -> str:
    salt = "".join(secrets.choice(_SALT) for _ in range(salted))
    done = crypt(password, f"{kind}{salt}$")
    if not done.startswith(kind[:3]):
        raise BootsrvError(f"libcrypt could not make a hash of the kind {kind[:3]}")
    return done


def crypt(password: str, setting: str) -> str:
    """crypt(3): the hash by a setting, which may be a hash that was made before; no hash ("*0" or "", as the
    library has it) where that is none. Threads may share it: libcrypt's own `crypt` has one place for the
    result of all."""
    place = ctypes.create_string_buffer(_PLACE)
    done: bytes | None = _library().crypt_r(password.encode(), setting.encode(), place)
    return done.decode() if done else ""
