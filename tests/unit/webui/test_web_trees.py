"""Install trees and package archives on the page and over REST, from real ones on disk."""

from __future__ import annotations

from pathlib import Path

from webhouse import House


def tree(house: House, tmp_path: Path) -> None:
    root = tmp_path / "medium"
    (root / "debian-installer/amd64").mkdir(parents=True)
    (root / "version.info").write_text("Debian version:  12 (bookworm)\n")
    for name in ("linux", "initrd.gz"):
        (root / "debian-installer/amd64" / name).write_text(name)
    house.appliance.trees.import_(str(root), "deb12")


def test_nothing_yet(admin, house: House) -> None:
    page = admin.get("/trees").text
    assert "No install tree yet" in page
    assert 'href="/trees" aria-current="page"' in page


def test_the_page(admin, house: House, tmp_path: Path) -> None:
    tree(house, tmp_path)
    page = admin.get("/trees").text
    assert "Debian 12 (bookworm), x86_64" in page
    assert "preseed" in page and "debian12" in page
    (house.appliance.trees.shelf.root / "deb12/tree.json").write_text("{")
    assert "import the tree again" in admin.get("/trees").text


def test_rest(admin, house: House, tmp_path: Path) -> None:
    tree(house, tmp_path)
    headers = {"X-CSRF-Token": admin.token()}
    (found,) = admin.client.get("/api/v1/trees").json["trees"]
    assert (found["name"], found["target"], found["url_path"]) == ("deb12", "debian12", "/tree/deb12/")
    assert admin.client.get("/api/v1/trees/deb12").json["tree"] == found
    assert admin.client.get("/api/v1/trees/none").status_code == 404
    assert admin.client.delete("/api/v1/trees/deb12", headers=headers).status_code == 200
    assert admin.client.get("/api/v1/trees").json["trees"] == []
    assert admin.client.get("/api/v1/mirrors").json == {"mirrors": []}
    assert admin.client.get("/api/v1/mirrors/none").status_code == 404
