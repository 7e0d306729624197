"""The boot loader's place in the order of things: after everything it starts is safely on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from images.agent import loader
from images.layout_parse import default_layout
from images.storage import resolve


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
    monkeypatch.setattr(loader, "_mounted", lambda *_: steps.append("efi"))
    monkeypatch.setattr(loader, "_bios", lambda *_: steps.append("bios"))
    monkeypatch.setattr(loader.os, "fsync", flushed)
    row = {"path": str(disk), "size": 20 << 30, "sector": 512, "read_only": False, "removable": False}
    storage = resolve(default_layout(), [{**row, "transport": "virtio"}], None, 1 << 30)
    loader.activate(storage, {place.device: "0" for place in storage.places}, {}, lambda _: None)
    assert steps == ["flush", "efi", "bios", "flush"]
