"""What changed between two versions, on the page and over REST, from a real store."""

from __future__ import annotations

from pathlib import Path

import imagestore
import pytest
from webhouse import House

BASE = {"etc": b"one", "passwd": b"root"}


@pytest.fixture
def stored(house: House, tmp_path: Path) -> House:
    store = imagestore.make(tmp_path)
    imagestore.publish(store, "debian", BASE)
    imagestore.publish(store, "debian", {"etc": b"two", "<b>new": b"3"}, "patched")
    house.appliance.images.store = lambda: store  # type: ignore[method-assign]
    return house


def test_the_page(admin, stored: House) -> None:
    assert 'href="/images/debian@2/changes"' in admin.get("/images").text
    page = admin.get("/images/debian@2/changes").text
    assert "debian@1 → debian@2" in page and "1 added, 1 removed, 1 changed" in page
    assert "/&lt;b&gt;new" in page and "<b>new" not in page
    assert admin.get("/images/debian@1/changes").status_code == 404
    assert admin.get("/images/debian@1/changes?from=debian@2").status_code == 200
    assert admin.get("/images/other/changes").status_code == 404


def test_rest(admin, stored: House) -> None:
    headers = {"X-CSRF-Token": admin.token()}
    client = admin.client
    found = client.get("/api/v1/images/debian/changes?from=debian@1").json
    assert found["counts"] == {"added": 1, "removed": 1, "changed": 1, "time": 0}
    assert client.get("/api/v1/images/debian/changes").status_code == 400
    done = client.put("/api/v1/images/debian@1/tags/stable", headers=headers)
    assert done.json["image"]["tags"] == ["stable"]
    assert client.get("/api/v1/images/debian@stable").json["image"]["number"] == 1
    assert client.delete("/api/v1/images/debian@1", headers=headers).status_code == 409
    assert client.delete("/api/v1/images/debian/tags/stable", headers=headers).status_code == 200
    assert client.delete("/api/v1/images/debian@1", headers=headers).json["image"]["ref"] == "debian@1"
    assert client.delete("/api/v1/images/debian@1", headers=headers).status_code == 404
