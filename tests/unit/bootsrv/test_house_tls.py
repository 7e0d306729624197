"""HTTPS: a certificate made once, a machine that was told it believes that one and no other."""

from __future__ import annotations

import asyncio
import ssl
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import make_config

from bootsrv import config as configuration
from bootsrv import tls
from bootsrv.config import Config
from bootsrv.errors import Invalid
from bootsrv.listening import listen_securely, machines_url, reach
from bootsrv.privilege import Identity
from images.agent.client import Client
from pxe.http.server import HttpServer

ME = Identity(None, drop=False)


def secure(folder: Path, port: int = 8443) -> Config:
    made = make_config(folder)
    return msgspec.structs.replace(made, http=msgspec.structs.replace(made.http, tls_port=port))


@dataclass
class Store:
    """A site and a journal with one file to give."""

    pack: Path

    def store(self, kind: str, id: str, token: Any) -> Path:
        return self.pack

    def record_peer(self, *what: Any) -> None:
        return


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Config, int]]:
    """A server that speaks HTTPS on a free port of loopback, and that port."""
    config = secure(tmp_path)
    tls.prepare(config, ME)
    (tmp_path / "pack").write_bytes(bytes(range(256)) * 20_000)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    site: Any = Store(tmp_path / "pack")

    async def start() -> HttpServer:
        made = HttpServer(site, site, None)
        await made.start([("127.0.0.1", 0)], None, [("127.0.0.1", 0)], tls.context(config))
        return made

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    yield config, server.bound[-1][1]
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def test_a_machine_that_was_told_the_certificate(served: tuple[Config, int], tmp_path: Path) -> None:
    config, port = served
    url, certificate = reach(config, "127.0.0.1")
    assert url == "https://127.0.0.1:8443" and certificate.startswith("-----BEGIN CERTIFICATE")
    client = Client(f"https://127.0.0.1:{port}", "T", certificate=certificate)
    path = f"/store/packs/{'a' * 64}"
    assert client.get_range(path, 250, 10) == bytes([*range(250, 256), *range(4)])
    assert client.get_range(path, 3, 5_000_000) == (bytes(range(256)) * 20_000)[3:5_000_003]
    other = client.copy()
    assert other.get_range(path, 0, 3) == b"\0\1\2"
    for one in (client, other):
        one.close()


def test_no_other_server_is_believed(served: tuple[Config, int], tmp_path: Path) -> None:
    _, port = served
    (tmp_path / "other").mkdir()
    foreign = secure(tmp_path / "other")
    tls.prepare(foreign, ME)
    for certificate in (reach(foreign, "127.0.0.1")[1], ""):
        client = Client(f"https://127.0.0.1:{port}", "T", give_up=30, certificate=certificate)
        with pytest.raises(ssl.SSLCertVerificationError):
            client.get("/store/packs/x")


def test_the_pair_is_made_once_and_the_key_is_secret(tmp_path: Path) -> None:
    config = secure(tmp_path)
    tls.prepare(config, ME)
    certificate, key = tls.files(config)
    before = certificate.read_bytes(), key.read_bytes()
    tls.prepare(config, ME)
    assert (certificate.read_bytes(), key.read_bytes()) == before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert listen_securely(config) == [("127.0.0.1", 8443)]
    key.write_text("no key")
    with pytest.raises(Invalid, match=r"tls\.key"):
        tls.context(config)


def test_before_the_first_start_it_says_who_makes_the_certificate(tmp_path: Path) -> None:
    config = secure(tmp_path)
    with pytest.raises(Invalid, match=r"no certificate yet, .*tls\.crt: .* start it once"):
        machines_url(config, "http://10.0.0.1:8080")
    tls.prepare(config, ME)
    assert "BEGIN" in tls.shown(config)


def test_without_it_everything_is_as_before(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    tls.prepare(config, ME)
    assert reach(config, "10.0.0.1") == (f"http://10.0.0.1:{config.http.port}", "")
    assert listen_securely(config) == [] and not tls.files(config)[0].exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tls_port = 8080", "http.tls_port"), ("tls_port = 70000", "http.tls_port"),
        ('tls_port = 8443\nkey = "/k"', "http.key"), ('certificate = "/c"\nkey = "/k"', "http.certificate"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bootsrv.toml"
    path.write_text(f"[http]\n{text}\n")
    with pytest.raises(Exception, match=why):
        configuration.load(path)
