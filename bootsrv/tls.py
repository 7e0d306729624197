"""The certificate that this server shows over HTTPS: the administrator's, or one made here, once.

Machines get it over a way that is trusted already (SSH, their imaging, the line that a person types) and
believe no other (listening.reach), so a self-signed one is as good for them as any. The private key is for
root and the process that serves.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
import subprocess
from pathlib import Path

from bootsrv import privilege
from bootsrv.config import Config
from bootsrv.errors import Invalid
from bootsrv.privilege import Identity

log = logging.getLogger(__name__)
DAYS = 3650


def files(config: Config) -> tuple[Path, Path]:
    """Certificate (with its chain) and private key."""
    if config.http.certificate is not None and config.http.key is not None:
        return Path(config.http.certificate), Path(config.http.key)
    return config.data_dir / "tls.crt", config.data_dir / "tls.key"


def prepare(config: Config, identity: Identity) -> None:
    """Make the pair where HTTPS is on and there is none. Raises Invalid when that is not possible."""
    if config.http.tls_port is None or config.http.certificate is not None:
        return
    certificate, key = files(config)
    if not (certificate.exists() and key.exists()):
        _make(certificate, key, config.domain or "bootsrv")
    for path, mode in ((certificate, 0o644), (key, 0o600)):
        path.chmod(mode)
        privilege.own(path, identity)


def context(config: Config) -> ssl.SSLContext:
    """For the listener. Raises Invalid with the file's name."""
    certificate, key = files(config)
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        made.load_cert_chain(certificate, key)
    except OSError as error:  # ssl's own errors too
        raise Invalid(f"HTTPS with {certificate} and {key}: {error.strerror or error}") from error
    return made


def shown(config: Config) -> str:
    """The certificate that we show, as PEM: ours alone, without those that vouch for it, since who believes
    these believes all that they vouch for. Raises Invalid, OSError."""
    path, _ = files(config)
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = path.read_text("ascii", "replace").partition(begin)[2].partition(end)[0]
    except FileNotFoundError as error:
        if config.http.certificate is not None:
            raise
        made = "the service makes it when it starts: start it once (`bootsrv serve`), then run this again"
        raise Invalid(f"there is no certificate yet, {path}: {made}") from error
    if not text:
        raise Invalid(f"{path}: no certificate in PEM")
    return f"{begin}{text}{end}\n"


def pin(certificate: str) -> str:
    """A certificate's key as `curl --pinnedpubkey` names it: SHA-256 of its SubjectPublicKeyInfo (RFC 5280
    section 4.1)."""
    tbs = _inside(_inside(ssl.PEM_cert_to_DER_cert(certificate)))
    if tbs[0] == 0xA0:  # the version
        tbs = tbs[len(_whole(tbs)) :]
    for _ in range(5):  # serial number, algorithm, issuer, validity, subject
        tbs = tbs[len(_whole(tbs)) :]
    return "sha256//" + base64.b64encode(hashlib.sha256(_whole(tbs)).digest()).decode()


def _inside(der: bytes) -> bytes:
    """The content of the first element (X.690 section 8.1)."""
    start, length = _lengths(der)
    return der[start : start + length]


def _whole(der: bytes) -> bytes:
    """The first element with its head."""
    return der[: sum(_lengths(der))]


def _lengths(der: bytes) -> tuple[int, int]:
    """Bytes of the first element's head and content."""
    if der[1] < 0x80:
        return 2, der[1]
    more = der[1] & 0x7F
    return 2 + more, int.from_bytes(der[2 : 2 + more])


def _make(certificate: Path, key: Path, name: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", str(DAYS), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    try:
        subprocess.run(
            [*command, "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True, text=True, timeout=60, umask=0o077,
        )  # fmt: skip
    except FileNotFoundError:
        raise Invalid("HTTPS needs a certificate: apt-get install openssl, or name one in [http]") from None
    except subprocess.CalledProcessError as error:
        raise Invalid(f"openssl made no certificate: {error.stderr.strip()[-300:]}") from error
    log.info("made the certificate %s", certificate)
