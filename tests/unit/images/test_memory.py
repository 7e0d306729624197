"""Memory has a bound, whatever the sizes: measured in a process of its own, as anonymous memory (what is
mapped from scratch files is the page cache's)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from imagestore import noise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="owners need root"),
]
LIMIT = 300 << 20
MIB = 1 << 20
WATCH = """
import json, os, sys, threading, time
peak = [0]
def watch():
    while True:
        rows = open("/proc/self/status").read().splitlines()
        peak[0] = max(peak[0], *(int(row.split()[1]) << 10 for row in rows if row.startswith("RssAnon")))
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
from pathlib import Path
from images.importing.from_directory import import_directory
from images.store import ImageStore
folder = Path(sys.argv[1])
store = ImageStore.open(folder / "store")
said = {}
"""
IMPORT = """
for name in ("one", "two"):
    import_directory(store, "a", folder / name, excludes=())
"""
PATCH = """
from images.changes.report import compare
from images.push.patches import patch_set
compare(store, "a@1", "a@2")
made = patch_set(store, store.resolve("a@1").id, store.resolve("a@2").id, folder / "patches")
said["files"], said["bytes"] = made.files, made.bytes
"""
EXPORT = """
from images.tree_writer import write_tree
(folder / "out").mkdir()
write_tree(store.manifest("a@2"), store.source("a@2"), folder / "out")
"""
TELL = '\nprint(json.dumps({**said, "peak": peak[0]}))\n'


def measured(folder: Path, work: str) -> dict[str, int]:
    command = [sys.executable, "-c", WATCH + work + TELL, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    said: dict[str, int] = json.loads(done.stdout)
    print(f"\n{said['peak'] / MIB:.0f} MiB")
    return said


def test_imports_patches_and_exports(tmp_path: Path) -> None:
    """Files of 90 MiB that changed all over, a file with holes, and forty thousand names."""
    for number, name in enumerate(("one", "two")):
        top = tmp_path / name
        (top / "etc").mkdir(parents=True)
        for big in range(3):
            with (top / f"big{big}").open("wb") as file:
                for piece in range(90):
                    data = bytearray(noise(MIB, 1000 * big + piece))
                    data[number * 7 : number * 7 + 9] = b"different"
                    file.write(data)
        for small in range(40_000):
            folder = top / f"d{small % 200}"
            folder.mkdir(exist_ok=True)
            (folder / f"file{small}").write_bytes(b"%d in version %d" % (small, number if small % 3 else 0))
        with (top / "holes").open("wb") as file:
            file.truncate(20 << 30)
            file.seek(number << 30)
            file.write(b"somewhere")
    assert measured(tmp_path, IMPORT)["peak"] < LIMIT
    made = measured(tmp_path, PATCH)
    assert made["peak"] < LIMIT and made["files"] > 20_000 and made["bytes"] < 8 * MIB
    assert measured(tmp_path, EXPORT)["peak"] < LIMIT
