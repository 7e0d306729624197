from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

sys.path.insert(0, str(Path(__file__).parents[2]))

from webhouse import PASSWORD, House, build

from webui.app import create_app


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = build(tmp_path)
    yield made
    made.appliance.close()


@pytest.fixture
def app(house: House) -> Flask:
    return create_app(house.appliance, "test secret")


class Browser:
    """A client that behaves like a page's forms: it carries the session's token along."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def token(self) -> str:
        with self.client.session_transaction() as session:
            return str(session.get("csrf", ""))

    def get(self, path: str, **more: object):
        return self.client.get(path, **more)

    def post(self, path: str, data: dict[str, object] | None = None, **more: object):
        return self.client.post(path, data={"csrf_token": self.token(), **(data or {})}, **more)

    def login(self, user: str = "admin", password: str = PASSWORD):
        self.get("/login")
        return self.post("/login", {"user": user, "password": password})


@pytest.fixture
def stranger(app: Flask) -> Browser:
    return Browser(app.test_client())


@pytest.fixture
def admin(app: Flask) -> Browser:
    browser = Browser(app.test_client())
    assert browser.login().status_code == 302
    return browser
