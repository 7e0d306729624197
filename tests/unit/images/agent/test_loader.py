"""The boot loader's place in the order of things: after everything it starts is safely on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from images.agent import loader
from images.diskplan import plan
from images.layout import default_layout


def test_the_disk_has_everything_before_it_can_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"")
    steps: list[str] = []
    real = os.fsync

    def flushed(handle: int) -> None:
        assert os.readlink(f"/proc/self/fd/{handle}") == str(disk)
        steps.append("flush")
        real(handle)

    monkeypatch.setattr(loader, "WORK", tmp_path / "work")
    monkeypatch.setattr(loader.nvram, "EFIVARS", tmp_path / "none")
    monkeypatch.setattr(loader, "_efi", lambda *_: steps.append("efi"))
    monkeypatch.setattr(loader, "_bios", lambda *_: steps.append("bios"))
    monkeypatch.setattr(loader.os, "fsync", flushed)
    made = plan(default_layout(), 20 << 30)
    uuids = {extent.number: "0" for extent in made.extents}
    loader.activate(str(disk), made, uuids, ["g"] * len(made.extents), lambda _: None)
    assert steps == ["flush", "efi", "bios", "flush"]
