"""Any tree in is the same tree out: random owners, modes, times, xattrs, links and holes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nastytree import snapshot
from pyfastcdc import FastCDC

from images import chunker, packstream
from images.importing import from_directory
from images.importing.from_directory import import_directory
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")

letters = st.sampled_from([b"a", b"b", b"-", b".", b" ", b"\n", b"\\", b"\xff", b"\xc3\xbc", b"\x01", b"*"])
names = st.lists(letters, min_size=1, max_size=4).map(b"".join).filter(lambda name: name not in (b".", b".."))
data = st.one_of(
    st.binary(max_size=300),
    st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 60_000)).map(lambda pair: pair[0] * pair[1]),
)
ids = st.integers(0, 2**31)
traits = st.fixed_dictionaries(
    {
        "uid": ids,
        "gid": ids,
        "mode": st.integers(0, 0o7777),
        "time": st.integers(-(2**31) * 10**9, 2**34 * 10**9 - 1),  # what ext4 can keep
        "xattrs": st.dictionaries(
            st.sampled_from(["user.a", "user.b c", "trusted.x", "security.y"]),
            st.binary(max_size=50),
            max_size=2,
        ),
    }
)
leaves = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("file"), "data": data, "hole": st.integers(0, 3) | st.just(0), "traits": traits}
    ),
    st.fixed_dictionaries({"type": st.just("symlink"), "target": names, "traits": traits}),
    st.fixed_dictionaries({"type": st.sampled_from(["fifo", "char", "socket"]), "traits": traits}),
    st.fixed_dictionaries({"type": st.just("link"), "to": st.integers(0, 20)}),
)
trees = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("dir"), "in": st.dictionaries(names, inner, max_size=5), "traits": traits}
    ),
    max_leaves=15,
)


def build(path: bytes, node: dict[str, Any], made: list[bytes]) -> None:
    kind = node["type"]
    if kind == "link":
        if not made:
            return
        os.link(made[node["to"] % len(made)], path, follow_symlinks=False)
        return
    if kind == "dir":
        os.mkdir(path)
        for name, inner in node["in"].items():
            build(path + b"/" + name, inner, made)
    elif kind == "file":
        with open(path, "wb") as file:
            file.write(node["data"])
            if node["hole"]:
                file.seek(node["hole"] << 17, os.SEEK_END)
                file.write(node["data"])
                file.truncate((node["hole"] << 18) + 2 * len(node["data"]))
    elif kind == "symlink":
        os.symlink(node["target"], path)
    else:
        flag = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "socket": stat.S_IFSOCK}[kind]
        os.mknod(path, flag, os.makedev(7, 300))
    if kind != "dir":
        made.append(path)
    adorn(path, kind, node["traits"])


def adorn(path: bytes, kind: str, traits: dict[str, Any]) -> None:
    os.lchown(path, traits["uid"], traits["gid"])
    for key, value in traits["xattrs"].items():
        if kind in ("file", "dir") or not key.startswith("user."):
            os.setxattr(path, key, value, follow_symlinks=False)
    if kind != "symlink":
        os.chmod(path, traits["mode"])
    os.utime(path, ns=(0, traits["time"]), follow_symlinks=False)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(names, trees, max_size=6), st.integers(1, 40))
def test_any_tree(content: dict[bytes, dict[str, Any]], frame: int) -> None:
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packstream, "FRAME", frame * 1000)
        patch.setattr(packstream, "PACK", 100_000)
        patch.setattr(chunker, "WHOLE", 4096)
        patch.setattr(chunker, "_cdc", FastCDC(avg_size=4096))
        patch.setattr(chunker, "BUFFER", 50_000)
        patch.setattr(from_directory, "LARGE", 30_000)
        try:
            source = folder / "in"
            (source / "etc").mkdir(parents=True)
            made: list[bytes] = []
            for name, node in content.items():
                build(os.fsencode(source) + b"/" + name, node, made)
            store = ImageStore.open(folder / "store")
            import_directory(store, "a", source, excludes=())
            (folder / "out").mkdir()
            write_tree(store.manifest("a"), store.source("a"), folder / "out")
            assert snapshot(folder / "out") == snapshot(source)
            assert not list(store.verify())
        finally:
            shutil.rmtree(folder)
