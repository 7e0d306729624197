"""Ed25519 through ctypes against the RFC's vector and the openssl program."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from images import signature
from images.errors import SignatureInvalid

PRIVATE = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)  # RFC 8032 section 7.1
DIGEST = bytes(range(32))


def test_public_key_of_the_rfc() -> None:
    assert signature.public_key(PRIVATE) == PUBLIC


def test_sign_and_verify() -> None:
    signature.verify(PUBLIC, DIGEST, signature.sign(PRIVATE, DIGEST))


def test_every_flipped_bit_is_seen() -> None:
    good = signature.sign(PRIVATE, DIGEST)
    for bit in range(512):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureInvalid):
            signature.verify(PUBLIC, DIGEST, bytes(bad))
    with pytest.raises(SignatureInvalid):
        signature.verify(PUBLIC, DIGEST[::-1], good)
    with pytest.raises(SignatureInvalid):
        signature.verify(signature.public_key(signature.generate()), DIGEST, good)


@pytest.mark.parametrize("wrong", [b"", b"x" * 63, b"x" * 65])
def test_signatures_of_another_size(wrong: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        signature.verify(PUBLIC, DIGEST, wrong)
    with pytest.raises(SignatureInvalid):
        signature.verify(wrong, DIGEST, signature.sign(PRIVATE, DIGEST))


def test_openssl_agrees(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.fail("no openssl here: ./run setup installs it")
    der = bytes.fromhex("302a300506032b6570032100") + PUBLIC
    (tmp_path / "key.pem").write_text(
        f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"
    )
    (tmp_path / "message").write_bytes(b"bootsrv manifest 1\0" + DIGEST)
    (tmp_path / "signature").write_bytes(signature.sign(PRIVATE, DIGEST))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "message"]
    subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, check=True, capture_output=True)
