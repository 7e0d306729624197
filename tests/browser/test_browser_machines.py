"""What a person does on the machines page, with a real browser."""

from __future__ import annotations

from dataclasses import replace

import pytest
from browsing import Site, log_in
from playwright.sync_api import Browser, BrowserContext, Page, expect
from webhouse import FACTS, MAC, House, add

from bootsrv.model import Armed, NodeState

pytestmark = pytest.mark.browser


def test_login_refuses_then_admits(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/?state=running")
    expect(page).to_have_title("Log in · bootsrv")
    expect(page.get_by_label("User")).to_be_focused()
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
    expect(page.get_by_label("User")).to_have_value("admin")
    log_in(page)
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Log in · bootsrv")


def test_an_unknown_machine_appears_by_itself_and_is_adopted(page: Page, house: House) -> None:
    expect(page.get_by_text("No unknown machine")).to_be_visible()
    seen = house.seen(MAC)
    house.tell(seen, "dhcp.discover", "asks", stage="firmware")
    card = page.get_by_role("article", name=MAC)
    expect(card).to_contain_text("its inventory has not arrived yet")
    house.appliance.registry.nodes.save(replace(seen, facts=FACTS))
    house.tell(seen, "imager.facts", "hardware reported")
    expect(card).to_contain_text("Dell Inc. PowerEdge R6515")

    card.get_by_role("link", name="Adopt").click()
    dialog = page.get_by_role("dialog", name=f"Adopt {MAC}")
    expect(dialog.get_by_label("Name")).to_be_focused()
    expect(dialog.get_by_label("Address", exact=True)).to_have_value("10.77.0.11")
    dialog.get_by_label("Name").fill("no good")
    dialog.get_by_label("Image", exact=True).select_option("debian")
    dialog.get_by_role("button", name="Adopt").click()
    error = dialog.locator("#e-name")
    expect(error).to_contain_text("letters, digits and hyphens")
    expect(dialog.get_by_label("Name")).to_be_focused()
    expect(dialog.get_by_label("Image", exact=True)).to_have_value("debian")
    dialog.get_by_label("Name").fill("n1")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status").filter(has_text="n1 is registered")).to_be_visible()
    row = page.get_by_role("row", name="n1")
    expect(row).to_contain_text("Armed")
    expect(row).to_contain_text("debian@2")
    expect(page.get_by_text("No unknown machine")).to_be_visible()
    assert house.appliance.nodes.show("n1").macs == (MAC,)


def test_a_machine_is_dragged_to_the_nodes(page: Page, house: House) -> None:
    house.seen(MAC)
    page.reload()
    page.get_by_role("article", name=MAC).drag_to(page.locator("#nodes"))
    expect(page.get_by_role("dialog", name=f"Adopt {MAC}")).to_be_visible()


def test_the_dialog_by_keyboard(page: Page, house: House) -> None:
    house.seen(MAC)
    page.reload()
    link = page.get_by_role("article", name=MAC).get_by_role("link", name="Adopt")
    link.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(link).to_be_focused()


def test_a_dynamic_address_is_not_asked_for(page: Page, house: House) -> None:
    page.get_by_role("link", name="Add a node").click()
    dialog = page.get_by_role("dialog")
    address = dialog.get_by_label("Address", exact=True)
    dialog.get_by_label("Dynamic").check()
    expect(address).to_be_disabled()
    dialog.get_by_label("Reserved").check()
    expect(address).to_be_enabled()
    dialog.get_by_label("Dynamic").check()
    dialog.get_by_label("Name").fill("n1")
    dialog.get_by_label("MAC address").fill(MAC)
    dialog.get_by_role("button", name="Add node").click()
    expect(page.get_by_role("row", name="n1")).to_contain_text("dynamic")


def test_a_range_is_registered_at_once(page: Page, house: House) -> None:
    page.get_by_role("link", name="Add a range").click()
    dialog = page.get_by_role("dialog", name="Add a range of nodes")
    dialog.get_by_label("Base name").fill("n")
    dialog.get_by_label("First number").fill("01")
    dialog.get_by_label("Last number").fill("0")
    dialog.get_by_label("Image", exact=True).select_option("compute")
    dialog.get_by_role("button", name="Add nodes").click()
    expect(dialog.locator("#e-last")).to_contain_text("runs backwards")
    dialog.get_by_label("Last number").fill("16")
    dialog.get_by_role("button", name="Add nodes").click()
    expect(page.get_by_role("status").filter(has_text="16 nodes registered: n01 to n16")).to_be_visible()
    expect(page.get_by_role("row", name="n16")).to_contain_text("10.77.0.26")


def test_progress_arrives_without_a_reload(page: Page, house: House) -> None:
    node = add(house, "n1", NodeState.ARMED, armed=Armed("debian@2", 0.0))
    page.reload()
    page.evaluate("window.notReloaded = true")
    house.appliance.registry.nodes.save(replace(node, state=NodeState.IMAGING))
    house.tell(node, "deploy.started", "begins")
    row = page.get_by_role("rowgroup").filter(has=page.get_by_role("link", name="n1"))
    expect(row.get_by_role("progressbar", name="Imaging n1")).to_be_visible()
    for percent in (10, 50, 99):
        house.tell(node, "deploy.progress", "", done=percent * 9 << 20, total=900 << 20, rate=9 << 20)
        expect(row.locator(".pct")).to_have_text(f"{percent} %")
    expect(row.locator(".rate")).to_have_text("9 MiB/s")
    expect(row.locator(".eta")).to_have_text("1.0 s left")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "0.99")
    expect(page.locator("#announce")).to_have_text("n1: 75 percent written")
    house.appliance.registry.nodes.save(
        replace(node, state=NodeState.RUNNING, armed=None, running="debian@2")
    )
    house.tell(node, "home", "called home")
    expect(row).to_contain_text("Running")
    expect(row.get_by_role("progressbar")).to_have_count(0)
    assert page.evaluate("window.notReloaded") is True


def test_a_live_update_leaves_what_one_is_doing(page: Page, house: House) -> None:
    nodes = [add(house, f"n{number}") for number in (1, 2)]
    page.reload()
    page.locator("#link[data-state=live]").wait_for()
    page.get_by_label("Select n1").check()
    page.get_by_label("Select n2").focus()
    for node in nodes:
        house.appliance.registry.nodes.save(replace(node, state=NodeState.RUNNING))
    house.tell(nodes[0], "home", "called home")
    expect(page.get_by_role("row", name="n2")).to_contain_text("Running")
    expect(page.get_by_label("Select n1")).to_be_checked()
    expect(page.get_by_label("Select n2")).to_be_focused()


def test_several_nodes_are_reimaged_after_a_question(page: Page, house: House) -> None:
    for name in ("n1", "n2", "n3"):
        add(house, name, NodeState.RUNNING)
    page.reload()
    page.get_by_label("Select all nodes shown").check()
    page.get_by_label("Select n2").uncheck()
    page.get_by_role("button", name="Reimage selected").click()
    dialog = page.get_by_role("dialog", name="Reimage 2 nodes")
    expect(dialog).to_contain_text("n1, n3")
    dialog.get_by_role("button", name="Reimage 2 nodes").click()
    expect(page.get_by_role("status").filter(has_text="2 nodes armed")).to_be_visible()
    assert [node.state for node in house.appliance.nodes.list()] == ["armed", "running", "armed"]


def test_searching_while_typing(page: Page, house: House) -> None:
    for name in ("web1", "db1"):
        add(house, name)
    page.reload()
    page.get_by_role("searchbox").press_sequentially("web")
    expect(page.get_by_role("link", name="db1")).to_have_count(0)
    expect(page.get_by_role("link", name="web1")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_the_page_comes_back_with_the_server(context: BrowserContext, site: Site, house: House) -> None:
    page = context.new_page()  # its console may complain: the server really goes away
    log_in(page)
    link = page.locator("#link")
    expect(link).to_have_text("Live")
    node = add(house, "n1")
    house.tell(node, "node.registered", "registered")
    expect(page.get_by_role("row", name="n1")).to_be_visible()
    site.stop()
    expect(link).to_have_text("Reconnecting", timeout=15_000)
    house.appliance.registry.nodes.save(replace(node, state=NodeState.RUNNING))
    house.tell(node, "home", "called home while the page was away")
    site.start()
    expect(link).to_have_text("Live", timeout=15_000)
    expect(page.get_by_role("row", name="n1")).to_contain_text("Running")


def test_everything_works_without_script(chromium: Browser, site: Site, house: House) -> None:
    context = chromium.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    house.seen(MAC, facts=FACTS)
    log_in(page)
    page.get_by_role("link", name="Adopt").click()
    page.get_by_label("Name").fill("n 1")
    page.get_by_label("Image", exact=True).select_option("debian")
    page.get_by_role("button", name="Adopt").click()
    expect(page.locator("#e-name")).to_be_visible()
    page.get_by_label("Name").fill("n1")
    page.get_by_role("button", name="Adopt").click()
    page.get_by_role("link", name="n1").click()
    page.get_by_role("link", name="Take it back").click()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("status")).to_have_text("n1 is not armed any more.")
    page.get_by_role("link", name="Machines").first.click()
    page.get_by_label("Select n1").check()
    page.get_by_role("button", name="Reimage selected").click()
    page.get_by_role("button", name="Reimage n1").click()
    assert house.appliance.nodes.show("n1").state is NodeState.ARMED
    context.close()
