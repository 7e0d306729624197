"""Who may see what: every route, asked by a stranger, by a person and by a script."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from flask import Flask
from webhouse import PASSWORD, House

OPEN = {"/login", "/static/<path:filename>"}


def routes(app: Flask) -> list[tuple[str, str]]:
    found = []
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            if rule.rule not in OPEN:
                path = re.sub(r"<int:\w+>", "1", rule.rule)
                found.append((method, re.sub(r"<\w+>", "n1", path)))
    return found


def test_a_stranger_is_turned_away_everywhere(app: Flask, stranger) -> None:
    everything = routes(app)
    assert len(everything) > 30
    for method, path in everything:
        answer = stranger.client.open(path, method=method, headers={"Accept": "*/*"})
        if path.startswith(("/api/", "/events/stream")) or method != "GET":
            assert answer.status_code == 401, (method, path)
            assert "error" in answer.json
        else:
            assert answer.status_code == 302, (method, path)
            assert urlsplit(answer.location).path == "/login"


def test_without_the_token_nothing_changes(app: Flask, admin) -> None:
    for method, path in routes(app):
        if method == "GET":
            continue
        for headers in (
            {},
            {"X-CSRF-Token": "guess"},
            {"X-CSRF-Token": admin.token(), "Sec-Fetch-Site": "cross-site"},
        ):
            assert admin.client.open(path, method=method, headers=headers).status_code == 403, (method, path)
        assert admin.client.open(path, method=method, data={"csrf_token": "guess"}).status_code == 403


def test_the_login_form_needs_its_token_too(stranger) -> None:
    answer = stranger.client.post("/login", data={"user": "admin", "password": PASSWORD})
    assert answer.status_code == 403


def test_no_header_that_browsers_complain_about(stranger) -> None:
    headers = stranger.client.get("/login").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Cross-Origin-Opener-Policy" not in headers  # not over plain HTTP


def test_login_and_logout(stranger) -> None:
    answer = stranger.login()
    assert (answer.status_code, answer.location) == (302, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert stranger.get("/").status_code == 200
    assert stranger.post("/logout").location == "/login"
    assert stranger.get("/").status_code == 302


@pytest.mark.parametrize(
    ("user", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin", "")]
)
def test_a_wrong_login_says_the_same_for_user_and_password(stranger, user: str, password: str) -> None:
    answer = stranger.login(user, password)
    assert answer.status_code == 422
    assert "User or password is wrong." in answer.text
    assert 'role="alert"' in answer.text


def test_the_session_changes_its_token_at_login(stranger) -> None:
    stranger.get("/login")
    before = stranger.token()
    stranger.login()
    assert stranger.token() not in ("", before)


def test_after_login_one_is_where_one_wanted_to_be(stranger) -> None:
    at = stranger.get("/?state=running").location
    assert stranger.get(at).text.count('value="/?state=running"') == 1
    answer = stranger.post("/login", {"user": "admin", "password": PASSWORD, "next": "/?state=running"})
    assert answer.location == "/?state=running"


@pytest.mark.parametrize(
    "target", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", "evil"]
)
def test_a_login_never_leads_elsewhere(stranger, target: str) -> None:
    stranger.get("/login")
    answer = stranger.post("/login", {"user": "admin", "password": PASSWORD, "next": target})
    assert answer.location == "/"


def test_guessing_is_slowed_down(stranger, house: House) -> None:
    stranger.get("/login")
    codes = [
        stranger.post("/login", {"user": "admin", "password": f"guess {n}"}).status_code for n in range(10)
    ]
    assert codes[:8] == [422] * 8
    assert codes[8:] == [429] * 2
    answer = stranger.post("/login", {"user": "admin", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Too many tries" in answer.text


def test_guessing_from_one_address_locks_nobody_else_out(app: Flask, stranger) -> None:
    far = {"X-Forwarded-For": "192.0.2.9"}
    stranger.get("/login")
    for n in range(10):
        stranger.post("/login", {"user": "admin", "password": f"guess {n}"}, headers=far)
    assert stranger.post("/login", {"user": "admin", "password": PASSWORD}, headers=far).status_code == 429
    assert stranger.login().status_code == 302


def test_a_new_password_ends_the_sessions(admin, house: House) -> None:
    house.appliance.users.set_password("admin", "another good password")
    assert admin.get("/").status_code == 302


def test_a_forged_session_is_no_session(house: House, app: Flask) -> None:
    from webui.app import create_app

    other = create_app(house.appliance, "another secret").test_client()
    with other.session_transaction() as session:
        session.update(user="admin", stamp=house.appliance.users.fingerprint("admin"), since=4e9)
    cookie = other.get_cookie("bootsrv")
    client = app.test_client()
    client.set_cookie("bootsrv", cookie.value)
    assert client.get("/").status_code == 302


def test_a_script_comes_in_with_its_token(app: Flask, house: House) -> None:
    client = app.test_client()
    token = house.appliance.users.issue_token("admin")
    assert client.get("/api/v1/nodes", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for wrong in ("nonsense", "", token[:-1]):
        answer = client.get("/api/v1/nodes", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_machines_token_does_not_open_the_api(app: Flask, house: House) -> None:
    token = house.appliance.registry.tokens.issue("boot", "52:54:00:00:00:01", 0.0, 4e9)
    headers = {"Authorization": f"Bearer {token}"}
    assert app.test_client().get("/api/v1/nodes", headers=headers).status_code == 401


def test_every_page_carries_the_strict_policy_and_nothing_inline(admin, house: House) -> None:
    node = house.seen("52:54:00:00:00:01")
    for path in (
        "/",
        f"/nodes/{node.id}",
        f"/nodes/{node.id}/adopt",
        "/images",
        "/events",
        "/nodes/add",
        "/nope",
    ):
        answer = admin.get(path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style", answer.text), path


def test_static_files_are_cached_by_their_content(admin) -> None:
    path = re.search(r'href="(/static/app\.css\?v=[^"]+)"', admin.get("/").text)[1]
    assert "immutable" in admin.get(path).headers["Cache-Control"]
    assert "immutable" not in admin.get("/static/app.css").headers["Cache-Control"]
