"""A profile's form with a real browser: what it makes stands beside it as one types."""

from __future__ import annotations

import re
import tomllib
from typing import Literal
from urllib.parse import urlsplit

import pytest
from browsing import Complaints, Site, barriers, log_in
from playwright.sync_api import Browser, Page, Route, expect
from webhouse import House, add

from bootsrv.answers.crypt import crypt
from bootsrv.appliance.nodes import Wanted

pytestmark = pytest.mark.browser
WEB = """target = "debian13"
timezone = "Europe/Prague"

[packages]
names = ["nginx"]

[[users]]
name = "ada"
"""


@pytest.fixture
def web(house: House) -> House:
    house.appliance.profiles.save("web", WEB, "ada", "first")
    for name in ("n1", "n2"):
        add(house, name)
        house.appliance.nodes.set(name, Wanted(profile="web"))
    house.appliance.profiles.save("node:n2", 'keyboard = "cz"\n', "ada")
    return house


def test_what_it_makes_follows_what_is_typed(page: Page, web: House) -> None:
    page.goto("/profile/web")
    result = page.locator("#result")
    expect(result.get_by_role("status")).to_have_text("Good")
    page.get_by_label("Time zone").fill("Europe/Brno")
    expect(result.locator(".file")).to_contain_text("time/zone string Europe/Brno")
    expect(result.locator(".diff .plus").last).to_have_text('+timezone = "Europe/Brno"')
    page.get_by_label("What it makes for").select_option(label="n2")
    expect(result.locator(".file")).to_contain_text("xkb-keymap select cz")
    page.get_by_label("What changed").fill("moved")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="web is saved.")).to_be_visible()
    expect(page.get_by_text("version 2, 2 nodes")).to_be_visible()
    newest = web.appliance.profiles.get("web")
    assert newest.comment == "moved" and 'timezone = "Europe/Brno"' in newest.text
    page.get_by_role("link", name="History").click()
    expect(page.locator(".diff").first).to_contain_text("+timezone")


def test_errors_come_to_their_fields_and_go(page: Page, web: House) -> None:
    page.goto("/profile/web")
    status = page.locator("#result").get_by_role("status")
    page.get_by_role("button", name="Add user").click()
    second = page.get_by_role("group", name="user 2")
    expect(second.get_by_label("Name", exact=True)).to_be_focused()
    second.get_by_label("Name", exact=True).fill("No Good")
    page.get_by_label("Time zone").fill("two words")
    expect(status).to_have_text("2 errors")
    expect(second.locator(".error")).to_contain_text("small letters")
    expect(second.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#e-v-timezone")).to_contain_text("one word")
    second.get_by_label("Name", exact=True).fill("bob")
    expect(second.locator(".error")).to_have_count(0)
    page.get_by_role("button", name="Remove this user").first.click()
    page.get_by_label("Time zone").fill("Etc/UTC")
    expect(status).to_have_text("Good")
    expect(page.locator(".file")).to_contain_text("passwd/username string bob")


def test_a_password_becomes_its_hash_as_soon_as_it_is_typed(page: Page, web: House) -> None:
    asked: list[tuple[str, str]] = []
    page.on("request", lambda one: asked.append((urlsplit(one.url).path, one.post_data or "")))
    page.goto("/profile/web")
    root = page.get_by_label("Root's new password")
    root.fill("swordfish")
    page.get_by_label("Time zone").fill("Etc/UTC")  # and so leaves it
    expect(page.get_by_label("Root's password hash")).to_have_value(re.compile(r"\$6\$rounds="))
    expect(root).to_have_value("")
    hashed = page.get_by_label("Root's password hash").input_value()
    expect(page.locator(".file")).to_contain_text(f"passwd/root-password-crypted password {hashed}")
    expect(page.locator("#result").get_by_role("status")).to_have_text("Good")
    page.get_by_role("button", name="Add user").click()
    second = page.get_by_role("group", name="user 2")
    second.get_by_label("New password").fill("x" * 600)
    second.get_by_label("Name", exact=True).fill("bob")
    expect(second.locator(".error")).to_contain_text("at most 511 bytes")
    second.get_by_label("New password").fill("herring")  # not left: the button is pressed at once
    with page.expect_navigation():
        second.get_by_label("New password").press("Enter")
    expect(page.get_by_label("Password hash", exact=True).nth(1)).to_have_value(re.compile(r"\$6\$rounds="))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="web is saved.")).to_be_visible()
    saved = tomllib.loads(web.appliance.profiles.get("web").text)
    assert saved["root"]["password"] == hashed
    for password, kept in (("swordfish", hashed), ("herring", saved["users"][1]["password"])):
        assert crypt(password, kept) == kept
    told = [path for path, body in asked if "swordfish" in body or "herring" in body]
    assert set(told) == {"/profiles/hash", "/profile/web"} and told.count("/profile/web") == 1
    assert "swordfish" not in page.content() and "herring" not in page.content()


def test_a_hash_that_comes_late_is_not_the_next_users(page: Page, web: House) -> None:
    held: list[Route] = []
    page.route("**/profiles/hash", lambda one: held.append(one))
    page.goto("/profile/web")
    page.get_by_role("button", name="Add user").click()
    with page.expect_request("**/profiles/hash"):
        page.get_by_role("group", name="user 2").get_by_label("New password").fill("swordfish")
        page.get_by_role("button", name="Remove this user").last.click()
    page.get_by_role("button", name="Add user").click()
    with page.expect_response("**/profiles/hash"):
        held[0].continue_()
    page.wait_for_timeout(300)
    second = page.get_by_role("group", name="user 2")
    expect(second.get_by_label("Password hash")).to_have_value("")



def test_a_finding_of_the_installers_parser_stands_at_its_line(page: Page, web: House) -> None:
    page.goto("/profile/web")
    page.get_by_label("System to install").fill("rocky9")
    expect(page.locator(".file")).to_contain_text("%packages")
    page.get_by_text("All the rest").click()
    rest = 'raw = [{lines = ["part / --nonsense"]}]\n'
    page.get_by_label("What the form has no field for").fill(rest)
    line = page.locator(".file li.bad")
    expect(line).to_contain_text("part / --nonsense")
    expect(line.locator(".said")).to_contain_text("nonsense")


def test_a_ready_script_brings_its_variables(page: Page, web: House) -> None:
    page.goto("/profile/web")
    page.get_by_text("Scripts", exact=True).click()
    page.get_by_role("button", name="Add script").click()
    script = page.get_by_role("group", name="script 1")
    script.get_by_label("Ready-made").select_option("resolv-conf")
    expect(script.get_by_label("Its variables")).to_have_value("servers=")
    expect(page.locator("#result")).to_contain_text("needs it")
    script.get_by_label("Its variables").fill("servers=10.77.0.1")
    expect(page.locator("#result").get_by_role("status")).to_have_text("Good")


def test_what_is_typed_is_not_lost_by_leaving(page: Page, web: House) -> None:
    page.goto("/profile/web")
    page.get_by_label("Keyboard").fill("cz")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.get_by_role("link", name="History").click(no_wait_after=True)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    expect(page.get_by_label("Keyboard")).to_have_value("cz")


def test_the_page_says_when_it_could_not_look(page: Page, web: House, complaints: Complaints) -> None:
    page.goto("/profile/web")
    page.route("**/preview", lambda route: route.abort())
    page.get_by_label("Keyboard").fill("cz")
    expect(page.locator("#result .note")).to_contain_text("Not looked at")
    page.unroute("**/preview")
    page.get_by_label("Keyboard").fill("de")
    expect(page.locator("#result .note")).to_have_count(0)
    complaints.clear()


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 320)]
)
def test_everybody_can_read_them(
    chromium: Browser, site: Site, web: House, scheme: Literal["light", "dark"], width: int
) -> None:
    context = chromium.new_context(
        base_url=site.url,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
    )
    page = context.new_page()
    log_in(page)
    found = []
    paths = ["/profiles", "/profiles/new", "/profile/web", "/profile/web?mode=text", "/profile/web/history"]
    for path in [*paths, "/profile/web/remove"]:
        page.goto(path)
        if path == "/profile/web":
            page.get_by_label("Time zone").fill("two words")
            page.locator("#e-v-timezone").wait_for()
            page.locator("details.part").evaluate_all("all => all.forEach(one => (one.open = true))")
        found += barriers(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += barriers(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{page.url}: {wide} px wide"] if wide > width else []
    context.close()
    assert not found, "\n".join(found)
