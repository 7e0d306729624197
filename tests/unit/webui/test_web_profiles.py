"""The profiles page without script, its form, and the REST API on profiles."""

from __future__ import annotations

import re
import tomllib
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from webhouse import House, add

from bootsrv.answers.crypt import crypt
from bootsrv.answers.toml import as_toml
from bootsrv.appliance.nodes import Wanted
from webui.profile_fields import Field, Kind, Rows, parts
from webui.profile_form import ProfileForm

WEB = """target = "debian13"
timezone = "Europe/Prague"

[root]
keys = ["ssh-ed25519 AAAA ada@desk"]

[packages]
names = ["nginx"]
"""
NASTY = "<script>alert(1)</script>"


@pytest.fixture
def web(house: House) -> House:
    house.appliance.profiles.save("web", WEB, "ada", "first")
    add(house, "n1")
    house.appliance.nodes.set("n1", Wanted(profile="web"))
    return house


def fields(page: str) -> dict[str, str]:
    """What a browser would send back of a form's inputs."""
    inputs = [one for one in re.findall(r"<input[^>]*>", page) if "checkbox" not in one or " checked" in one]
    pairs = (re.search(r'name="([^"]+)"[^>]*? value="([^"]*)"', one) for one in inputs)
    found = {pair[1]: pair[2] for pair in pairs if pair}
    found |= {name: text.removeprefix("\n") for name, text in
              re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', page, re.DOTALL)}  # fmt: skip
    found.pop("csrf_token")
    return {name: unescape(text) for name, text in found.items() if "0000" not in name}


def test_a_profile_is_changed_by_its_form(admin, web: House) -> None:
    page = admin.get("/profile/web").text
    sent = fields(page)
    assert sent["v.timezone"] == "Europe/Prague" and sent["v.packages.names"] == "nginx"
    assert "d-i time/zone string Europe/Prague" in page and "n1 (the first that uses it)" in page
    changed = {**sent, "v.timezone": "Europe/Brno", "comment": "moved", "do": "save"}
    assert admin.post("/profile/web", changed).status_code == 302
    newest = web.appliance.profiles.get("web")
    assert (newest.number, newest.author, newest.comment) == (2, "admin", "moved")
    assert tomllib.loads(newest.text) == {**tomllib.loads(WEB), "timezone": "Europe/Brno"}
    page = admin.get("/profile/web/history").text
    assert "-timezone = &#34;Europe/Prague&#34;" in page and "moved" in page
    assert fields(admin.get("/profile/web@1").text)["v.timezone"] == "Europe/Prague"


def is_of(password: str, hash_: str) -> bool:
    """By libcrypt, as a log-in compares."""
    return crypt(password, hash_) == hash_


def test_a_password_that_is_typed_is_kept_as_its_hash_alone(admin, web: House, tmp_path, caplog) -> None:
    caplog.set_level(0)
    sent = fields(admin.get("/profile/web").text)
    assert sent["v.root.password"] == ""
    typed = {"p.root.password": "correct horse & co", "v.users.0.name": "ada",
             "v.users.0.password": "$6$old$x", "p.users.0.password": "Größe"}  # fmt: skip
    looked = admin.post("/profile/web", {**sent, **typed, "do": "check"}).text
    assert fields(looked)["v.root.password"].startswith("$6$")
    said = looked + admin.post("/profiles/preview", {**sent, **typed, "ref": "web"}).text
    assert admin.post("/profile/web", {**sent, **typed, "do": "save"}).status_code == 302
    text = web.appliance.profiles.get("web").text
    saved = tomllib.loads(text)
    assert is_of("correct horse & co", saved["root"]["password"])
    assert is_of("Größe", saved["users"][0]["password"])
    said += text + caplog.text + admin.get("/profile/web").text + admin.get("/profile/web/history").text
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for plain in ("correct horse", "Größe"):
        assert plain not in said and plain.encode() not in kept
    assert len(kept) > 10_000, "the registry is among them"


@pytest.mark.parametrize("plain", ["a\nb", "a\x00b", "x" * 512])
def test_what_cannot_be_typed_at_a_log_in_is_no_password(admin, web: House, plain: str) -> None:
    sent = fields(admin.get("/profile/web").text) | {"p.root.password": plain, "do": "save"}
    answer = admin.post("/profile/web", sent)
    assert answer.status_code == 422 and "one line of text, of at most 511 bytes" in answer.text
    assert web.appliance.profiles.get("web").number == 1 and "xxxxxx" not in answer.text
    answer = admin.post("/profiles/hash", {"password": plain})
    assert answer.status_code == 422 and "one line" in answer.text


def test_a_password_is_hashed_for_those_only_who_are_logged_in(admin, app: Flask) -> None:
    made = [admin.post("/profiles/hash", {"password": "open sesame"}) for _ in range(2)]
    assert all(is_of("open sesame", one.text) for one in made) and made[0].text != made[1].text
    assert made[0].headers["Cache-Control"] == "no-store" and made[0].mimetype == "text/plain"
    assert admin.get("/profiles/hash").status_code == 405
    assert app.test_client().post("/profiles/hash", data={"password": "x"}).status_code in (302, 401, 403)


def test_what_is_wrong_stands_at_its_field_and_nothing_is_saved(admin, web: House) -> None:
    sent = fields(admin.get("/profile/web").text)
    sent |= {"v.timezone": "not one word", "v.users.0.name": "", "v.users.3.name": "No Such", "do": "save"}
    answer = admin.post("/profile/web", sent)
    assert answer.status_code == 422 and web.appliance.profiles.get("web").number == 1
    wrong = re.findall(r'id="(v-[^"]+)"[^>]*aria-invalid="true"', answer.text)
    assert sorted(wrong) == ["v-timezone", "v-users-3-name"]
    assert 'value="No Such"' in answer.text


def test_nobody_is_overwritten(admin, web: House) -> None:
    sent = fields(admin.get("/profile/web").text)
    web.appliance.profiles.save("web", WEB.replace("nginx", "caddy"), "bob")
    answer = admin.post("/profile/web", {**sent, "v.keyboard": "cz", "do": "save"})
    assert answer.status_code == 422 and "has version 2 by bob meanwhile" in answer.text
    answer = admin.post("/profiles/new", {**sent, "ref": "web", "do": "save"})
    assert answer.status_code == 422 and "is there already" in answer.text


def test_without_a_change_there_is_no_version(admin, web: House) -> None:
    text = 'timezone = "Europe/Prague"   \ntarget = "debian13"\n'
    web.appliance.profiles.save("web", text, "ada")
    sent = fields(admin.get("/profile/web").text)
    assert admin.post("/profile/web", {**sent, "do": "save"}).status_code == 302
    assert web.appliance.profiles.get("web").text == text


def test_comments_are_kept_by_the_text(admin, web: House) -> None:
    text = "# why\n" + WEB
    web.appliance.profiles.save("web", text, "ada")
    sent = fields(admin.get("/profile/web").text)
    assert sent["mode"] == "text" and "# why" in sent["text"]
    admin.post("/profile/web", {**sent, "text": (text + "# more\n").replace("\n", "\r\n"), "do": "save"})
    assert web.appliance.profiles.get("web").text == text + "# more\n"


def test_the_buttons_work_without_script(admin, web: House) -> None:
    sent = fields(admin.get("/profile/web").text)
    page = admin.post("/profile/web", {**sent, "do": "add:users"}).text
    assert 'name="v.users.0.name"' in page
    page = admin.post("/profile/web", {**sent, "v.keyboard": "cz", "do": "text"}).text
    assert fields(page)["mode"] == "text" and "keyboard" in fields(page)["text"]
    page = admin.post("/profile/web", {**fields(page), "do": "form"}).text
    assert fields(page)["v.keyboard"] == "cz"
    broken = admin.post("/profile/web", {**sent, "rest": "[x", "do": "save"})
    assert broken.status_code == 422 and "in the text below the form" in broken.text
    assert web.appliance.profiles.get("web").number == 1


def test_a_new_profile_a_copy_and_the_end(admin, web: House) -> None:
    page = admin.get("/profiles/new?from=web").text
    answer = admin.post("/profiles/new", {**fields(page), "ref": "copy", "do": "save"})
    assert answer.location == "/profile/copy"
    assert admin.post("/profile/web/remove").status_code == 422
    assert admin.post("/profile/copy/remove").status_code == 302
    assert [one.ref for one in web.appliance.profiles.list()] == ["web"]
    refused = admin.post("/profiles/new", {**fields(page), "ref": "no such name", "do": "save"})
    assert refused.status_code == 422 and 'id="e-ref"' in refused.text


def test_text_of_people_never_becomes_markup(admin, web: House) -> None:
    web.appliance.profiles.save(
        "web", WEB + f'[[users]]\nname = "ada"\nfull_name = "{NASTY}"\n', NASTY, NASTY
    )
    sent = fields(admin.get("/profile/web").text)
    pages = [admin.get(path).text for path in ("/profiles", "/profile/web", "/profile/web/history")]
    pages.append(admin.post("/profiles/preview", {**sent, "ref": NASTY, "v.hostname": NASTY}).text)
    pages.append(admin.post("/profile/web", {**sent, "v.timezone": NASTY, "do": "check"}).text)
    assert all(NASTY not in page and "&lt;script&gt;" in page for page in pages)


def test_a_preview_is_for_the_node_that_was_chosen(admin, web: House) -> None:
    add(web, "n2")
    node = web.appliance.nodes.show("n2")
    sent = fields(admin.get("/profile/web").text)
    part = admin.post("/profiles/preview", {**sent, "node": f"#{node.id}"}).text
    assert "get_hostname string n2" in part and "<html" not in part
    part = admin.post("/profiles/preview", {**sent, "v.selinux": "enforcing"}).text
    assert 'data-field="selinux"' in part
    part = admin.post("/profiles/preview", {**sent, "v.target": "nocloud"}).text
    assert "network-config" in part and "local-hostname: n1" in part


def test_secrets_go_in_and_never_out(admin, web: House) -> None:
    admin.post("/profiles/secrets", {"name": "lock", "value": "sesame open"})
    text = WEB.replace("debian13", "rhel9") + (
        '[[disks.partitions]]\nname = "/"\nsize = 1\nluks = {passphrase = "secret:lock"}\n'
    )
    web.appliance.profiles.save("web", text, "ada")
    pages = [admin.get(path).text for path in ("/profiles", "/profile/web", "/profile/web/history")]
    assert "lock" in pages[0] and "--passphrase=" in pages[1] and not any("sesame" in page for page in pages)


@pytest.mark.parametrize("path", ["/profiles", "/profiles/new", "/profile/web", "/profile/web/history"])
def test_strangers_see_nothing(stranger, web: House, path: str) -> None:
    assert stranger.get(path).status_code == 302


def test_nothing_is_done_without_the_token(app: Flask, admin, web: House) -> None:
    for path in ("/profile/web", "/profiles/preview", "/profiles/secrets", "/profile/web/remove"):
        assert admin.client.post(path, data={"do": "save"}).status_code == 403


def test_the_nodes_edit_page_chooses_a_profile(admin, web: House) -> None:
    node = web.appliance.nodes.show("n1")
    sent = {"name": "n1", "mac": node.macs[0], "method": "reserved", "address": str(node.address)}
    admin.post(f"/nodes/{node.id}/edit", {**sent, "profile": ""})
    assert web.appliance.nodes.show("n1").answers is None
    refused = admin.post(f"/nodes/{node.id}/edit", {**sent, "profile": "gone"})
    assert refused.status_code == 422 and 'id="e-profile"' in refused.text


@pytest.fixture
def api(app: Flask, web: House) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {web.appliance.users.issue_token('admin')}"
    return client


def test_profiles_over_rest(api: FlaskClient) -> None:
    made = api.put("/api/v1/answers/web", json={"text": WEB + "\n", "comment": "c", "base": 1})
    assert (made.json["number"], made.json["author"], made.json["comment"]) == (2, "admin", "c")
    assert api.put("/api/v1/answers/web", json={"text": WEB, "base": 1}).status_code == 409
    refused = api.put("/api/v1/answers/web", json={"text": WEB + "[[x]]\n[firewall]\nenabled = 3\n"})
    found = [one["field"] for one in refused.json["error"]["findings"]]
    assert refused.status_code == 400 and found == ["x", "firewall.enabled"]
    assert [one["ref"] for one in api.get("/api/v1/answers").json["answers"]] == ["web"]
    assert api.get("/api/v1/answers/web@1").json["text"] == WEB
    assert api.get("/api/v1/answers/web").json["nodes"] == ["n1"]
    assert len(api.get("/api/v1/answers/web/history").json["versions"]) == 2
    assert "@@" in api.get("/api/v1/answers/web/diff?from=web@1").json["diff"]
    assert api.get("/api/v1/answers/web/diff").status_code == 400
    seen = api.post("/api/v1/answers/web/preview", json={"text": WEB.replace("nginx", "caddy"), "node": "n1"})
    assert seen.json["good"] and "caddy" in seen.json["text"]
    own = api.get("/api/v1/nodes/n1/answers").json
    assert own["good"] and own["target"] == "debian13" and "nginx" in own["text"]
    assert api.delete("/api/v1/answers/web").status_code == 409
    assert api.patch("/api/v1/nodes/n1", json={"profile": None}).json["profile"] is None
    assert api.delete("/api/v1/answers/web").status_code == 204
    assert api.put("/api/v1/secrets/lock", json={"value": "sesame"}).status_code == 204
    assert [one["name"] for one in api.get("/api/v1/secrets").json["secrets"]] == ["lock"]
    assert api.delete("/api/v1/secrets/lock").status_code == 204


WORD = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters=","), min_size=1, max_size=8
)
VALUE = {
    Kind.WORD: st.text(max_size=10),
    Kind.HASH: st.text(max_size=10),
    Kind.WORDS: st.lists(WORD, max_size=3), Kind.LINES: st.lists(WORD, max_size=3),
    Kind.TEXT: st.text(max_size=20), Kind.COUNT: st.integers(-5, 99), Kind.FLAG: st.booleans(),
    Kind.YES_NO: st.booleans(), Kind.TABLE: st.dictionaries(WORD, st.text(max_size=5), max_size=2),
}  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, object]:
    """Values at places of the form and beside them, of the right type mostly."""
    values: dict[str, object] = {}
    for part in parts():
        for one in part.fields:
            if draw(st.integers(0, 3)) == 0:
                put(values, one.path, value_of(draw, one))
    if draw(st.booleans()):
        values["unknown"] = draw(st.dictionaries(WORD, st.integers(), max_size=2))
    return values


def value_of(draw: st.DrawFn, one: Field | Rows) -> object:
    if isinstance(one, Rows):
        return [record(draw, one) for _ in range(draw(st.integers(0, 2)))]
    if one.kind is Kind.CHOICE:
        return draw(st.sampled_from([choice for choice, _ in one.choices]) | st.just("other") | st.integers())
    return draw(VALUE[one.kind] | st.just(3) | st.just(""))


def record(draw: st.DrawFn, rows: Rows) -> dict[str, object]:
    made: dict[str, object] = {}
    for column in rows.columns:
        if draw(st.booleans()):
            put(made, column.path, value_of(draw, column))
    if draw(st.integers(0, 9)) == 0:
        made["more"] = True
    return made


def put(values: dict[str, object], path: str, value: object) -> None:
    *outer, last = path.split(".")
    for name in outer:
        inner = values.setdefault(name, {})
        assert isinstance(inner, dict)
        values = inner
    values[last] = value


@given(profiles())
def test_nothing_is_lost_by_opening_a_profile_in_the_form(values: dict[str, object]) -> None:
    values = tomllib.loads(as_toml(values))
    form = ProfileForm.of_text(as_toml(values))
    assert tomllib.loads(form.text()) == values
    sent = {f"v.{key}": text.replace("\n", "\r\n") for key, text in form.values.items()}
    again = ProfileForm.of_request({**sent, "rest": form.rest})
    assert tomllib.loads(again.text()) == values
