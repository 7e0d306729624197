"""The supervisor: whatever a process does at its start or later, it is there again, or the reason is said."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bootsrv import supervisor as module
from bootsrv.errors import BootsrvError
from bootsrv.supervisor import Child, Supervisor

# Counts its starts in a file. The first is good and ends when told to, the second hangs before it is ready.
CHILD = """
import os, sys, time
from pathlib import Path
count = Path(sys.argv[1])
starts = len(count.read_text()) + 1 if count.exists() else 1
if starts != 2:
    os.write(int(os.environ["BOOTSRV_READY_FD"]), b"ready\\n")
count.write_text("x" * starts)
while starts != 1 or not Path(sys.argv[1] + ".crash").exists():
    time.sleep(0.02)
"""


def child(count: Path) -> Child:
    return Child("files", [sys.executable, "-c", CHILD, str(count)])


async def until(condition: object, seconds: float = 40.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def test_one_that_hangs_at_its_second_start_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, one = tmp_path / "count", child(tmp_path / "count")

    async def life() -> None:
        supervisor = Supervisor([one])
        await supervisor.start()
        monkeypatch.setattr(module, "START_SECONDS", 3.0)
        running = asyncio.create_task(supervisor.run())
        (tmp_path / "count.crash").touch()
        await until(lambda: count.exists() and len(count.read_text()) >= 3)
        assert one.process is not None
        hung = one.restarts
        supervisor.stop()
        await running
        assert one.process.returncode is not None
        assert hung >= 2

    asyncio.run(life())


def test_one_that_hangs_at_the_first_start_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "count").write_text("x")
    one = child(tmp_path / "count")
    monkeypatch.setattr(module, "START_SECONDS", 1.0)
    with pytest.raises(BootsrvError, match="files was not ready within 1 s"):
        asyncio.run(Supervisor([one]).start())
    assert one.process is not None and one.process.returncode is not None
