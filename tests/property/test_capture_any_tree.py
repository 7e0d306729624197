"""A captured tree is the imported one, whatever is in it, and so is the capture that follows a change."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from capturehouse import Running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_images_any_tree import build, names, trees

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import parse
from images.importing.from_directory import import_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("house")
    made = Running(Appliance.open(parse({"data_dir": str(home / "data")}, home / "bootsrv.toml")))
    yield made
    made.close()


content = st.dictionaries(names.filter(lambda name: name != b"etc"), trees, max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(content, content)
def test_any_tree(running: Running, first: dict[bytes, Any], second: dict[bytes, Any]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for number, tree in enumerate((first, second)):
            source = folder / str(number)
            (source / "etc").mkdir(parents=True)
            made: list[bytes] = []
            for name, node in tree.items():
                build(os.fsencode(source) + b"/" + name, node, made)
            running.capture(source, running.house.captures.token("golden").text, "--include", "/lost+found")
            store = running.house.images.store()
            import_directory(store, "imported", source, excludes=())
            captured, imported = (store.manifest(ref) for ref in ("golden", "imported"))
            assert list(captured.entries()) == list(imported.entries())
    finally:
        shutil.rmtree(folder)
