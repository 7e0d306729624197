"""Any line of versions, each an edit of the last, with some removed and collected on the way, reads as it was
written, whatever of it is kept as patches."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagestore import contents, make, noise, publish
from pyfastcdc import FastCDC

from images import chunker, groups, lineage, packstream
from images.locator import PATCH
from images.store import ImageStore

edits = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 1), st.integers(0, 400), st.binary(max_size=200)), max_size=6
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), edits),
        st.tuples(st.just("move"), st.integers(0, 9)),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("forget"), st.just(0)),
    ),
    min_size=2,
    max_size=9,
)


def changed(files: dict[str, bytes], what: list[tuple[int, float, int, bytes]]) -> dict[str, bytes]:
    made = dict(files)
    for number, where, gone, new in what:
        path = sorted(made)[number % len(made)]
        at = int(where * len(made[path]))
        made[path] = made[path][:at] + new + made[path][at + gone :]
    return made


def moved(files: dict[str, bytes], number: int) -> dict[str, bytes]:
    made = dict(files)
    path = sorted(made)[number % len(made)]
    made[f"x-{number}.{len(made)}"] = made.pop(path) + b"moved"
    return made


def sound(store: ImageStore, kept: dict[str, dict[str, bytes]]) -> None:
    assert {one.ref for one in store.versions("a")} == set(kept)
    assert {ref: contents(store, ref) for ref in kept} == kept
    assert not list(store.verify())
    index = store.open_index()
    try:
        for _, _, bases in list(index.patches()):
            assert all((where := index.find(one)) is None or where.codec != PATCH for one in bases)
    finally:
        index.close()


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, st.integers(0, 1000), st.sampled_from([3_000, 20_000]), st.sampled_from([10_000, 100_000]))
def test_any_line_of_versions(
    work: list[tuple[str, object]], seed: int, frame: int, base: int
) -> None:
    rng = random.Random(seed)
    files = {f"f-{n}.0": noise(rng.randrange(20_000), seed + n) for n in range(4)}
    files["text"] = b"some text " * rng.randrange(3000)
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (packstream, "FRAME", frame), (packstream, "PACK", 40_000), (chunker, "WHOLE", 2048),
            (chunker, "_cdc", FastCDC(avg_size=2048)), (lineage, "LEAST", 1), (groups, "FRAME", frame),
            (groups, "BASE", base), (groups, "SMALL", 8000), (groups, "AROUND", 2000),
            (lineage, "NEAR", 3000),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        try:
            store = make(folder)
            kept = {publish(store, "a", files).ref: files}
            for what, how in work:
                if what == "remove" and len(kept) > 1:
                    ref = sorted(kept)[how % (len(kept) - 1)]  # type: ignore[operator]
                    store.remove(ref)
                    del kept[ref]
                    store.gc(grace=0)
                elif what == "forget":
                    (store.root / "index.db").unlink()
                elif what in ("edit", "move"):
                    files = (changed if what == "edit" else moved)(files, how)  # type: ignore[operator]
                    kept[publish(store, "a", files).ref] = files
                sound(store, kept)
        finally:
            shutil.rmtree(folder)
