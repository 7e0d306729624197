"""Progress on the command line names files: what a name holds is neither markup nor control characters."""

from __future__ import annotations

import pytest

from bootsrv.cli import progress

NAME = "/srv/a[/b]\x1b[2J"


def test_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal's, for the bar
    monkeypatch.setenv("COLUMNS", "200")
    with progress.progress_of("importing [/dev/sda]") as told:
        told(1 << 20, 2 << 20, NAME)
    said = capsys.readouterr().err
    assert "importing [/dev/sda]" in said and "/srv/a[/b]\\x1b[2J" in said and "\x1b[2J" not in said


def test_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    with progress.progress_of("importing x") as told:
        told(1 << 20, 2 << 20, NAME)
    assert capsys.readouterr().err == "importing x: 1 of 2 MiB, /srv/a[/b]\\x1b[2J\n"
