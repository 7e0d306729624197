"""Tags and removals over REST by the real processes: the web process has a user of its own, may not
write to the store, and asks the one that may."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_house_serve import Service

from bootsrv import storedesk
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.images import Images
from bootsrv.config import load
from bootsrv.errors import BootsrvError
from bootsrv.intake import Intake
from bootsrv.storedesk import StoreDesk
from bootsrv.uploads import Uploads
from pxe.http.inflow import Call


@pytest.fixture
def service() -> Iterator[Service]:
    home = Path(tempfile.mkdtemp(prefix="bootsrv-test-", dir="/var/tmp"))
    home.chmod(0o755)  # another user comes here
    made = Service(home)
    (home / "root/etc").mkdir(parents=True)
    (home / "root/etc/hostname").write_text("golden\n")
    command = [sys.executable, "-m", "bootsrv.cli.main", "--config", str(made.config), "image", "import", "a"]
    subprocess.run([*command, str(home / "root")], check=True, capture_output=True)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(home)


def call(service: Service, token: str, method: str, path: str) -> tuple[int, Any]:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{service.port}/api/v1/images/{path}", method=method,
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_version_is_tagged_and_removed_over_rest(service: Service) -> None:
    house = Appliance.open(load(service.config))
    house.users.set_password("admin", "correct horse battery")
    token = house.users.issue_token("admin")

    def ask(method: str, path: str) -> tuple[int, Any]:
        return call(service, token, method, path)

    status, said = ask("PUT", "a@1/tags/gold")
    assert status == 200 and set(said["image"]["tags"]) >= {"gold"}, said
    assert house.images.resolve("a@gold").number == 1
    for method, path, wanted in (
        ("PUT", "a@7/tags/gold", 404), ("PUT", "a@1/tags/7", 400), ("DELETE", "a/tags/none", 404),
    ):  # fmt: skip
        status, said = ask(method, path)
        assert status == wanted and said["error"]["reason"], said
    assert ask("DELETE", "a/tags/gold")[0] == 200
    assert "gold" not in house.images.resolve("a@1").tags
    assert ask("DELETE", "a@1")[0] == 200
    assert not house.images.list()


STRANGERS = (
    "/images/v1/remove?ref=a@1", "/capture/v1/../../images/v1/remove?ref=a@1", "//images/v1/remove?ref=a@1",
    "/capture/v1/%2e%2e/%2e%2e/images/v1/remove?ref=a@1", "/images/v1/remove?ref=a@1#/capture/v1/",
    "http://capture/v1/images/v1/remove?ref=a@1", "/capture/v1/images/v1/remove?ref=a@1",
)  # fmt: skip


def test_no_stranger_comes_there(service: Service) -> None:
    for target in STRANGERS:
        with socket.create_connection(("127.0.0.1", service.port), 20) as way:
            way.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            assert int(way.recv(4096).split(b" ")[1]) >= 302, target
    assert [version.ref for version in Appliance.open(load(service.config)).images.list()] == ["a@1"]


def test_what_was_forwarded_is_refused_whatever_its_path(house: Appliance) -> None:
    worker = ThreadPoolExecutor(1)
    desk = StoreDesk(house.images)
    intake = Intake(Uploads(house.registry, house.images), desk, worker)
    for headers, status in (({"x-forwarded-for": "10.77.0.9"}, 404), ({}, 400)):
        call = Call("POST", "/images/v1/remove", headers, 0)
        assert asyncio.run(intake.handle(call, none)).status == status
    worker.shutdown()


async def none() -> bytearray:
    return bytearray()


def test_who_keeps_the_store_asks_nobody(house: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the files are another user's: it would wait for itself."""
    monkeypatch.setattr(storedesk, "ours", lambda folder: False)
    monkeypatch.setattr(storedesk, "ask", lambda *given, **words: pytest.fail("asked"))
    keeper = Images(house.images._config, house.registry, keeps_store=True)
    assert StoreDesk(keeper).handle("tag", {"ref": "nothing@1", "tag": "gold"}).status == 404


def test_without_that_process_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(BootsrvError, match=r"not answer \(No such file.*start the service, or .*root"):
        storedesk.ask(tmp_path, "tag", ref="a@1", tag="gold")


def test_nothing_else_can_be_asked(house: Appliance) -> None:
    desk = StoreDesk(house.images)
    assert desk.handle("gc", {}).status == 404
    assert desk.handle("tag", {"ref": "a@1"}).status == 400
