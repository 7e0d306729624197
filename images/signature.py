"""Ed25519 (RFC 8032) through ctypes on libcrypto: the appliance signs manifests, nodes check them.

Law: what is signed is a fixed label plus the sha256 of the text, so that a manifest of any size is checked in
constant memory and a signature made for something else never fits. Private keys are 32 bytes of system
randomness.

Python 3.8, standard library only; works with libcrypto 3 and 1.1.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from typing import Any

from images.errors import ImageError, SignatureInvalid
from images.soname import candidates

KEY_SIZE = 32
SIGNATURE_SIZE = 64
_LABEL = b"bootsrv manifest 1\0"
_ED25519 = 1087  # NID_ED25519


@lru_cache(maxsize=1)
def _library() -> Any:
    for name in candidates("crypto", "libcrypto.so.3", "libcrypto.so.1.1"):
        try:
            lib = ctypes.CDLL(name)
            lib.EVP_PKEY_new_raw_private_key.restype = ctypes.c_void_p
        except (OSError, AttributeError):  # absent, or older than 1.1.1 and without Ed25519
            continue
        size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
        lib.EVP_PKEY_new_raw_private_key.argtypes = (ctypes.c_int, pointer, text, size)
        lib.EVP_PKEY_new_raw_public_key.argtypes = (ctypes.c_int, pointer, text, size)
        lib.EVP_PKEY_new_raw_public_key.restype = pointer
        lib.EVP_PKEY_get_raw_public_key.argtypes = (pointer, text, ctypes.POINTER(size))
        lib.EVP_PKEY_free.argtypes = (pointer,)
        lib.EVP_MD_CTX_new.restype = pointer
        lib.EVP_MD_CTX_free.argtypes = (pointer,)
        for init in (lib.EVP_DigestSignInit, lib.EVP_DigestVerifyInit):
            init.argtypes = (pointer, pointer, pointer, pointer, pointer)
        lib.EVP_DigestSign.argtypes = (pointer, text, ctypes.POINTER(size), text, size)
        lib.EVP_DigestVerify.argtypes = (pointer, text, size, text, size)
        return lib
    raise ImageError("libcrypto 1.1.1 or newer is missing on this machine; install the package libssl3")


def generate() -> bytes:
    """A fresh private key, 32 bytes. Keep it in a file only the owner reads."""
    return os.urandom(KEY_SIZE)


def public_key(private: bytes) -> bytes:
    """The public half, 32 bytes."""
    lib = _library()
    key = _key(lib.EVP_PKEY_new_raw_private_key, private)
    try:
        out, size = ctypes.create_string_buffer(KEY_SIZE), ctypes.c_size_t(KEY_SIZE)
        if lib.EVP_PKEY_get_raw_public_key(key, out, ctypes.byref(size)) != 1:
            raise ImageError("libcrypto gave no public key")
        return out.raw
    finally:
        lib.EVP_PKEY_free(key)


def sign(private: bytes, digest: bytes) -> bytes:
    """Sign a manifest by its text's sha256 (32 bytes). Returns 64 bytes."""
    lib = _library()
    key, context = _key(lib.EVP_PKEY_new_raw_private_key, private), lib.EVP_MD_CTX_new()
    try:
        out, size = ctypes.create_string_buffer(SIGNATURE_SIZE), ctypes.c_size_t(SIGNATURE_SIZE)
        message = _message(digest)
        done = lib.EVP_DigestSignInit(context, None, None, None, key) == 1 and (
            lib.EVP_DigestSign(context, out, ctypes.byref(size), message, len(message)) == 1
        )
        if not done:
            raise ImageError("libcrypto could not sign")
        return out.raw[: size.value]
    finally:
        lib.EVP_MD_CTX_free(context)
        lib.EVP_PKEY_free(key)


def verify(public: bytes, digest: bytes, signature: bytes) -> None:
    """Return when `signature` over `digest` was made by `public`'s owner. Raises SignatureInvalid
    otherwise.
    """
    lib = _library()
    key, context = _key(lib.EVP_PKEY_new_raw_public_key, public), lib.EVP_MD_CTX_new()
    try:
        message = _message(digest)
        good = lib.EVP_DigestVerifyInit(context, None, None, None, key) == 1 and (
            lib.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1
        )
    finally:
        lib.EVP_MD_CTX_free(context)
        lib.EVP_PKEY_free(key)
    if not good:
        raise SignatureInvalid("the manifest is not signed by this appliance's key")


def _message(digest: bytes) -> bytes:
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    return _LABEL + digest


def _key(make: Any, raw: bytes) -> Any:
    if len(raw) != KEY_SIZE:
        raise SignatureInvalid(f"an Ed25519 key has {KEY_SIZE} bytes, this one {len(raw)}")
    key = make(_ED25519, None, raw, len(raw))
    if not key:
        raise SignatureInvalid("libcrypto refused the key")
    return key
