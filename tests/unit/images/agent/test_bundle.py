"""The one-file agent: one text that runs from standard input and leaves nothing behind."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from images.agent import bundle
from images.agent.service import carried
from images.agent.sources import agent_files


def run(script: bytes, *words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-E", "-s", "-", *words], input=script, capture_output=True, cwd=cwd, timeout=60,
        env={**os.environ, "TMPDIR": str(cwd)},
    )  # fmt: skip


def test_it_runs_from_standard_input_and_leaves_nothing(tmp_path: Path) -> None:
    done = run(bundle.build("http://10.77.0.1:8080"), "inventory", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["memory"] > 0
    assert not list(tmp_path.iterdir())


def test_without_memfd_a_nameless_file_does(tmp_path: Path) -> None:
    script = b"import os\ndel os.memfd_create\n" + bundle.build("http://s")
    done = run(script, "inventory", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("module", "words"), [("http", ["capture", "--token=t"]), ("json", ["inventory"])])
def test_a_python_that_is_not_whole_is_told_so(tmp_path: Path, module: str, words: list[str]) -> None:
    script = b"import sys\nsys.modules['%s'] = None\n" % module.encode() + bundle.build("http://127.0.0.1:9")
    done = run(script, *words, cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(
        rb"bootsrv agent: this python3 is not whole \(.*%s.*\); install the package python3.*\n"
        % module.encode(), done.stderr,
    ), done.stderr  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
def test_without_proc_it_says_so(tmp_path: Path) -> None:
    words = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc; exec "$0" -E -s - inventory']
    done = subprocess.run(
        [*words, sys.executable], input=bundle.build("http://s"), capture_output=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"bootsrv agent: needs /proc") and done.stderr.count(b"\n") == 1


def test_it_says_what_it_can_do_and_where_it_came_from(tmp_path: Path) -> None:
    done = run(bundle.build("http://10.77.0.1:8080"), "nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert b"no command 'nonsense'" in done.stderr
    assert b"curl -fsS http://10.77.0.1:8080/agent | sudo python3 -" in done.stderr


def test_same_sources_same_bytes() -> None:
    first = bundle.build("http://s")
    bundle._script.cache_clear()
    assert bundle.build("http://s") == first
    assert len(first) < 300_000


@pytest.mark.parametrize("start", [bundle.START, carried.START])
def test_all_of_it_is_python_3_8(start: str) -> None:
    ast.parse(bundle.build("http://s", "PEM"), feature_version=(3, 8))
    for name, source in agent_files(start).items():
        tree = ast.parse(source, name, feature_version=(3, 8))
        for node in ast.walk(tree):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                top = module.split(".")[0]
                assert top in ("images", "__future__", "pyudev") or top in sys.stdlib_module_names, name
        if b"|" in source or b"list[" in source:
            assert b"from __future__ import annotations" in source, name


@pytest.mark.parametrize("server", ['http://x"', "http://x\n", "http://ü"])
def test_an_address_that_would_break_the_script_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="no server's address"):
        bundle.build(server)
