"""The fuzzers run for a bounded time, each in a process of its own: no crash, no hang, bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECONDS = 90


@pytest.mark.parametrize(
    "target", ["fuzz_dhcp", "fuzz_dns", "fuzz_http", "fuzz_nbd", "fuzz_netroot", "fuzz_syslog", "fuzz_tftp"]
)
def test_nothing_breaks_it(target: str, tmp_path: Path) -> None:
    limits = [f"-max_total_time={SECONDS}", "-timeout=5", "-rss_limit_mb=1024", "-max_len=1500"]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(f"{target}.py")), str(tmp_path / "corpus"), *limits,
         f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, timeout=SECONDS + 60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "Done " in done.stderr
