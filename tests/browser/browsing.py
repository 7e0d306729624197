"""The site as a browser finds it, and what tests of it share."""

from __future__ import annotations

import threading

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from webhouse import PASSWORD, House
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from webui.app import create_app

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None: ...


class Site:
    """The page on a port of loopback; it can go away and come back, as the real one does."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.port = 0
        self._server: BaseWSGIServer | None = None
        self._ending = False
        self.start()

    def start(self) -> None:
        self._ending = False
        app = create_app(self.house.appliance, "test secret", stopping=lambda: self._ending)
        self._server = make_server("127.0.0.1", self.port, app, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self.port = self._server.port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._ending = True
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Complaints(list[str]):
    """What the browser complained of: script errors, blocked content, failed requests for our own files."""

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(f"script: {error}"))
        page.on("console", lambda said: self._said(said.type, said.text))

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and "status of 422" not in text:  # a refused form; chromium reports it as an error
            self.append(f"console: {text}")


def log_in(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def barriers(page: Page) -> list[str]:
    """What axe finds: WCAG 2.1 AA, and what is good practice."""
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    return [
        f"{page.url}: {violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for violation in Axe().run(page, options=rules).response["violations"]
        for node in violation["nodes"]
    ]
