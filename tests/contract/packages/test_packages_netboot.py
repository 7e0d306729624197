"""Debian's own netboot installer, from its real package: fetched by apt, recognised, compared."""

from __future__ import annotations

import pytest

from bootsrv.trees.importing import import_tree
from bootsrv.trees.shelf import Shelf
from pxe.trees.kernel import HEAD, version

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = Shelf(tmp_path_factory.mktemp("netboot") / "trees")
    import_tree(made, "debian-12", "deb12")
    return made


def test_the_real_package(shelf: Shelf) -> None:
    tree = shelf.get("deb12")
    assert (tree.facts.target, tree.facts.arch, tree.facts.installer) == ("debian12", "x86_64", "preseed")
    assert tree.source.startswith("Debian package debian-installer-12-netboot-amd64_")
    home = shelf.directory("deb12")
    assert (home / tree.facts.initrds[0]).read_bytes()[:2] == b"\x1f\x8b"
    assert shelf.find("deb12", "pxelinux.0") == (home / "debian-installer/amd64/pxelinux.0", home)
    assert list(shelf.verify("deb12")) == []


def test_its_kernel_says_which_modules_it_needs(shelf: Shelf) -> None:
    tree = shelf.get("deb12")
    with (shelf.directory("deb12") / tree.facts.kernel).open("rb") as file:
        found = version(file.read(HEAD))
    assert found.startswith("6.1.")
    assert found.endswith("-amd64")
