"""Any two trees: a machine that was made from the one and is brought to the other cannot be told from it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nastytree import snapshot
from pushhouse import House, comparable
from test_images_any_tree import build, names, trees

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")

Content = dict[bytes, dict[str, Any]]
# A time that does not fit in 64 bits with a sign.
IN_2262: Content = {
    b"a": {
        "type": "symlink", "target": b"a",
        "traits": {"uid": 0, "gid": 0, "mode": 0, "time": 1 << 63, "xattrs": {}},
    }
}  # fmt: skip


def lay(top: Path, content: Content) -> Path:
    (top / "etc").mkdir(parents=True)
    os.utime(top / "etc", ns=(0, 10**18))
    made: list[bytes] = []
    for name, node in content.items():
        build(os.fsencode(top) + b"/" + name, node, made)
    os.utime(top, ns=(0, 10**18))
    return top


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(names, trees, max_size=5), st.dictionaries(names, trees, max_size=5), st.booleans())
@example({}, IN_2262, False)
def test_any_two_trees(one: Content, two: Content, related: bool) -> None:
    """Half of the pairs share names, as versions do."""
    folder = Path(tempfile.mkdtemp())
    if related:
        two = {**dict(list(one.items())[: len(one) // 2 + 1]), **dict(zip(one, two.values(), strict=False))}
    try:
        house = House(folder, lay(folder / "one", one), lay(folder / "two", two))
        report = house.push()
        assert report["drift"] == 0
        assert comparable(snapshot(house.root)) == comparable(snapshot(folder / "two"))
        assert house.push()["made"] == 0
        house.push("a@1")
        assert comparable(snapshot(house.root)) == comparable(snapshot(folder / "one"))
    finally:
        shutil.rmtree(folder)
