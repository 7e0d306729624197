"""A machine's memory has a bound, whatever the image: 200,000 new files, with and without patches, in a
process that has nothing but the agent, as anonymous memory (mapped scratch files are the page cache's)."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from images.agent.update.remember import remember
from images.manifest import Entry
from images.push.patches import patch_set
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="owners need root"),
]
MIB = 1 << 20
LIMIT = 280_000_000
FILES = int(os.environ.get("BOOTSRV_NODE_FILES") or 200_000)
HERE = str(Path(__file__).parents[3])
# As `bootsrv push` starts it: the system's Python, isolated.
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]
AGENT = """
import json, sys, threading, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
peak, step = {}, ["start"]
def watch():
    while True:
        rows = open("/proc/self/status").read().splitlines()
        now = max(int(row.split()[1]) << 10 for row in rows if row.startswith("RssAnon"))
        peak[step[0]] = max(peak.get(step[0], 0), now)
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
folder = Path(sys.argv[1])
wanted = json.loads((folder / "wanted").read_text())
class Line:
    def copy(self): return self
    def get(self, path): return (folder / "www" / path.strip("/")).read_bytes()
    def get_range(self, path, start, length):
        with (folder / "www" / path.strip("/")).open("rb") as file:
            file.seek(start)
            return file.read(length)
def say(row): step[0] = row["step"]
"""
PUSH = """
from images.agent.update import run
from images.agent.update.task import parse_task
update = run.Update(folder / "push", parse_task(wanted), say, Line())
report = update.run()
said = {key: report[key] for key in ("made", "removed", "patched", "drift")}
"""
REIMAGE = """
from images.agent.inplace.mend import mend
from images.agent.inplace.places import Place
from images.fetch import PackSource
from images.locator import Locator
from images.sealed import open_sealed
line, key = Line(), bytes.fromhex(wanted["key"])
new, old = (open_sealed(folder / "www/store/manifests" / wanted[one], key) for one in ("manifest", "base"))
packs = PackSource(
    Locator.parse(line.get("/store/locators/" + wanted["manifest"])),
    lambda pack, start, length: line.get_range("/store/packs/" + pack, start, length),
)
top = folder / "reimage"
def progress(done, total, what): step[0] = f"{what[:6]}"
mended = mend(new, packs, [old], top, {b"": Place(top, b"", None)}, progress)
said = {"kept": mended.kept, "moved": mended.moved}
"""
TELL = '\nprint(json.dumps({**said, "peaks": peak, "peak": max(peak.values())}))\n'


def measured(folder: Path, work: str) -> dict[str, int]:
    done = subprocess.run(
        [*PYTHON, AGENT + work + TELL, str(folder), HERE], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{said['peak'] / 1e6:.0f} MB", said)
    return said


def publish(store: ImageStore, content: Callable[[int], bytes]) -> None:
    with store.writer() as writer:
        writer.tree.add(Entry(b"", "dir", mode=0o755))
        for folder in range(400):
            top = b"usr/share/package-%03d" % folder
            if not folder:
                writer.tree.add(Entry(b"usr", "dir", mode=0o755))
                writer.tree.add(Entry(b"usr/share", "dir", mode=0o755))
            writer.tree.add(Entry(top, "dir", mode=0o755))
            for number in range(FILES // 400):
                data = content(folder * 1000 + number)
                chunks = writer.put_stream(io.BytesIO(data).read)
                path = top + b"/a-name-of-some-length-%04d" % number
                writer.tree.add(Entry(path, "file", mode=0o644, size=len(data), chunks=chunks))
        writer.publish("a", "")


def first(number: int) -> bytes:
    return random.Random(number).randbytes(300)


def second(number: int) -> bytes:
    """A few bytes differ, so that there is a patch; of every eighth file all do."""
    data = random.Random(number if number % 8 else -number).randbytes(300)
    return data[:100] + b"another version" + data[100:]


def house(folder: Path) -> None:
    """Two versions, what the server has for a machine, and two machines that are the first."""
    store = ImageStore.open(folder / "store")
    publish(store, first)
    publish(store, second)
    old, new = store.resolve("a@1"), store.resolve("a@2")
    made = patch_set(store, old.id, new.id, folder / "patches", level=1)
    www = folder / "www/store"
    for kind in ("manifests", "locators", "packs"):
        (www / kind).mkdir(parents=True)
    (www / "patches").symlink_to(folder / "patches")
    for version in (old, new):
        (www / "locators" / version.id).write_bytes(store.locator(version.id))
        found = store.manifest_path(version.id)
        assert found is not None
        (www / "manifests" / version.id).symlink_to(found)
    for pack in (store.root / "packs").rglob("*.pack"):
        (www / "packs" / pack.stem).symlink_to(pack)
    task = {
        "url": "http://192.0.2.1", "token": "t", "key": store.public_key().hex(), "ref": new.ref,
        "manifest": new.id, "base": old.id, "patches": made.id,
    }  # fmt: skip
    (folder / "wanted").write_text(json.dumps(task))
    for name in ("push", "reimage"):
        (folder / name).mkdir()
        write_tree(store.manifest("a@1"), store.source("a@1"), folder / name)
    remember(folder / "push", store.manifest("a@1"))


def test_many_files_are_new(tmp_path: Path) -> None:
    house(tmp_path)
    said = measured(tmp_path, PUSH)
    assert said["made"] == FILES and said["drift"] == 0 and said["patched"] > FILES * 0.8
    assert said["peak"] < LIMIT
    said = measured(tmp_path, REIMAGE)
    assert said["kept"] == 0
    assert said["peak"] < LIMIT
