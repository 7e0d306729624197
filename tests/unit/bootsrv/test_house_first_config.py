"""`./run serve` at its first start: the configuration it writes is not everybody's to read."""

from __future__ import annotations

import grp
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parents[3]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to a group")
def test_the_first_configuration_is_for_the_service_only(tmp_path: Path) -> None:
    serve = re.search(r"^serve\(\) \{\n.*?^\}\n", (HERE / "run").read_text(), re.MULTILINE | re.DOTALL)
    assert serve is not None
    place = tmp_path / "etc"
    script = (
        f"set -eu\nsetup_service() {{ :; }}\nvenv={tmp_path}\n"
        + serve[0].replace("/etc/bootsrv", str(place))
        + "serve\n"
    )
    (tmp_path / "bin").mkdir()
    started = tmp_path / "bin/bootsrv"
    started.write_text('#!/bin/sh\necho "$@"\n')
    started.chmod(0o755)
    done = subprocess.run(["sh", "-c", script], cwd=HERE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    config = place / "bootsrv.toml"
    assert done.stdout == f"serve --config {config}\n"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert config.stat().st_gid == grp.getgrnam("bootsrv").gr_gid
    assert config.read_bytes() == (HERE / "bootsrv/bootsrv.toml.example").read_bytes()
