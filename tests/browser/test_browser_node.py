"""The page of one machine, the other pages, and how all of them fit their screens and readers."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from browsing import Complaints, Site, barriers, log_in
from playwright.sync_api import Browser, Page, expect
from webhouse import FACTS, House, add

from bootsrv.model import Armed, Node, NodeState

pytestmark = pytest.mark.browser


def story(house: House, node: Node) -> None:
    steps = (
        (40, "dhcp.discover", "DISCOVER from the firmware", {"stage": "firmware"}),
        (38, "tftp.start", "snponly.efi", {}),
        (35, "http.start", "kernel", {}),
        (25, "imager.up", "imager is up", {}),
        (24, "deploy.started", "debian@2 to /dev/vda", {}),
        (20, "deploy.progress", "writing", {"done": 1 << 20, "total": 100 << 20, "rate": 1 << 20}),
    )
    for ago, kind, text, data in steps:
        house.tell(node, kind, text, ago=ago, **data)


def test_a_boot_is_followed_live(page: Page, house: House) -> None:
    node = add(house, "n1", NodeState.IMAGING, armed=Armed("debian@2", 0.0), facts=FACTS)
    story(house, node)
    page.goto(f"/nodes/{node.id}")
    page.locator("#link[data-state=live]").wait_for()
    bar = page.get_by_role("progressbar", name="Imaging n1")
    house.tell(node, "deploy.progress", "writing", done=60 << 20, total=100 << 20, rate=2 << 20)
    expect(bar).to_have_attribute("value", "0.6")
    expect(page.locator(".eta")).to_have_text("20 s left")
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("write image")
    house.appliance.registry.nodes.save(replace(node, state=NodeState.INSTALLED, armed=None))
    house.tell(node, "deploy.done", "debian@2 is on the disk")
    expect(timeline).to_contain_text("debian@2 is on the disk")
    expect(bar).to_have_count(0)
    expect(page.get_by_text("Its disk is written.")).to_be_visible()


def test_the_log_is_followed(page: Page, house: House) -> None:
    node = add(house, "n1")
    page.goto(f"/nodes/{node.id}")
    expect(page.get_by_text("Nothing yet. While the imager runs")).to_be_visible()
    write = house.appliance.registry.events.log
    write(node.id, node.macs[0], 0.0, "".join(f"line {number}\n" for number in range(200)))
    log = page.locator("#log")
    expect(log).to_contain_text("line 199")
    at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 5"
    assert log.evaluate(at_end)
    log.evaluate("log => { log.scrollTop = 0 }")
    write(node.id, node.macs[0], 0.0, "the end\n")
    expect(log).to_contain_text("the end")
    assert log.evaluate("log => log.scrollTop") == 0, "a reader who scrolled up stays there"


def test_a_failure_appears_and_is_tried_again(page: Page, house: House) -> None:
    node = add(house, "n1", NodeState.IMAGING, armed=Armed("debian@2", 0.0))
    page.goto(f"/nodes/{node.id}")
    page.locator("#link[data-state=live]").wait_for()
    why = "prepare disk: /dev/vda has 4 GiB, the layout needs 6 GiB"
    house.appliance.registry.nodes.save(replace(node, state=NodeState.FAILED, error=why))
    house.tell(node, "deploy.failed", why)
    expect(page.get_by_role("alert")).to_contain_text(why)
    page.get_by_role("link", name="Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status").filter(has_text="n1 tries again.")).to_be_visible()
    assert house.appliance.nodes.show("n1").state is NodeState.ARMED


def test_reimaging_asks_first(page: Page, house: House) -> None:
    node = add(house, "n1", NodeState.RUNNING, running="debian@1")
    page.goto(f"/nodes/{node.id}")
    page.get_by_role("link", name="Reimage").click()
    dialog = page.get_by_role("dialog", name="Reimage n1")
    expect(dialog).to_contain_text("exactly once")
    dialog.get_by_role("link", name="Cancel").click()
    assert house.appliance.nodes.show("n1").armed is None
    page.get_by_role("link", name="Reimage").click()
    dialog.get_by_label("Image", exact=True).select_option("compute")
    dialog.get_by_role("button", name="Reimage n1").click()
    expect(page.get_by_text("Armed.")).to_be_visible()
    armed = house.appliance.nodes.show("n1").armed
    assert armed is not None
    assert armed.image == "compute@7"


def test_a_dialog_says_when_nothing_was_sent(
    page: Page, site: Site, house: House, complaints: Complaints
) -> None:
    node = add(house, "n1", NodeState.RUNNING)
    page.goto(f"/nodes/{node.id}")
    page.get_by_role("link", name="Remove").click()
    dialog = page.get_by_role("dialog", name="Remove n1")
    page.route("**/remove", lambda route: route.abort())
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing was changed")
    page.unroute("**/remove")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").filter(has_text="n1 was removed.")).to_be_visible()
    complaints.clear()  # the aborted request


def test_events_arrive_on_top(page: Page, house: House) -> None:
    page.goto("/events")
    expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
    page.locator("#link[data-state=live]").wait_for()
    node = add(house, "n1")
    house.tell(node, "dhcp.discover", "asks <b>loudly</b>", stage="firmware")
    feed = page.locator("#feed > li")
    expect(feed.first).to_contain_text("asks <b>loudly</b>")
    expect(feed.first.get_by_role("link", name="n1")).to_have_attribute("href", f"/nodes/{node.id}")
    for done in range(5):
        house.tell(node, "deploy.progress", f"written {done}", done=done, total=5, rate=1)
    expect(feed.first).to_contain_text("written 4")
    expect(feed.filter(has_text="written")).to_have_count(1)


@pytest.fixture
def full(house: House) -> list[str]:
    """A house with something on every page; the pages."""
    unknown = house.seen("a4:bf:01:6e:12:9c", facts=FACTS)
    imaging = add(house, "n1", NodeState.IMAGING, armed=Armed("debian@2", 0.0), facts=FACTS)
    story(house, imaging)
    house.appliance.registry.events.log(imaging.id, imaging.macs[0], 0.0, "a long line of the console " * 20)
    failed = add(
        house,
        "a-very-long-name-of-a-node-in-some-far-away-rack-0123456789",
        NodeState.FAILED,
        error="x" * 300,
    )
    pages = ["/", "/?q=nothing", "/images", "/events", "/nodes/add", "/nodes/range", "/nope"]
    pages += [f"/nodes/{unknown.id}/adopt", f"/nodes/{unknown.id}"]
    for node in (imaging, failed):
        pages += [
            f"/nodes/{node.id}",
            f"/nodes/{node.id}/edit",
            f"/nodes/{node.id}/remove",
            f"/nodes/reimage?id={node.id}",
        ]
    return pages


@pytest.mark.parametrize("width", [320, 768])
def test_no_page_scrolls_sideways(chromium: Browser, site: Site, full: list[str], width: int) -> None:
    context = chromium.new_context(base_url=site.url, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto("/login")
    found = too_wide(page, width)
    log_in(page)
    for path in full:
        page.goto(path)
        found += too_wide(page, width)
    context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page_can_be_read_by_everybody(
    chromium: Browser, site: Site, full: list[str], scheme: Literal["light", "dark"], width: int
) -> None:
    """axe finds nothing (WCAG 2.1 AA: contrast, names, roles, order), on pages and in an open dialog."""
    context = chromium.new_context(
        base_url=site.url,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto("/login")
    found = barriers(page) + too_wide(page, width)
    log_in(page)
    for path in full:
        page.goto(path)
        found += barriers(page) + too_wide(page, width)
    page.goto("/")
    page.get_by_role("link", name="Add a range").click()
    page.get_by_role("button", name="Add nodes").click()
    page.get_by_role("button", name="Add nodes").evaluate("button => button.form.noValidate = true")
    page.get_by_role("button", name="Add nodes").click()
    page.locator("#e-base").wait_for()
    found += barriers(page)
    context.close()
    assert not found, "\n".join(found)


def too_wide(page: Page, width: int) -> list[str]:
    wide = page.evaluate("document.documentElement.scrollWidth")
    return [f"{page.url}: {wide} px wide"] if wide > width else []
