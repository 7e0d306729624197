"""Debian's chromium, driven by Playwright, against a page that runs in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from browsing import CHROMIUM, FLAGS, Complaints, Site, log_in
from webhouse import House, build


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return build(tmp_path)


@pytest.fixture
def site(house: House) -> Iterator[Site]:
    made = Site(house)
    yield made
    made.stop()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    heard = Complaints()
    yield heard
    assert not heard


@pytest.fixture
def context(chromium: Browser, site: Site) -> Iterator[BrowserContext]:
    made = chromium.new_context(base_url=site.url, viewport={"width": 1280, "height": 860})
    made.set_default_timeout(8_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints) -> Page:
    """Logged in, on the machines page, its stream open."""
    made = context.new_page()
    complaints.watch(made)
    log_in(made)
    made.locator("#link[data-state=live]").wait_for()
    return made
