"""What people see at the machine."""

import os
import pty
import select
import time

from images.agent.console import Console
from images.agent.screen import WIDTH, Screen, bar, wrap


def test_bar():
    assert bar(0, 0, 0).startswith("[---")
    assert bar(500_000_000, 1_000_000_000, 50e6).endswith("50%  500 / 1000 MB  50.0 MB/s   0:10 left")
    assert "left" not in bar(10, 10, 5)


def test_screen_names_the_failed_step_and_its_reason():
    screen = Screen()
    screen.step("disk", "done", "/dev/vda")
    screen.step("files", "running")
    screen.step("files", "failed", "no")
    screen.status, screen.error = "imaging failed", "word " * 40
    lines = screen.render(colour=False)
    assert "  [ok] disk         /dev/vda" in lines and any(line.startswith("  [!!] files") for line in lines)
    assert "  imaging failed" in lines and all(len(line) <= WIDTH for line in lines)


def test_wrap_cuts_long_words():
    assert wrap("aa " + "b" * 12, 5) == ["aa", "bbbbb", "bbbbb", "bb"]


def shown_on(terminal: int, last: bytes) -> bytes:
    """What a terminal shows up to `last`; the kernel hands it over in pieces, and not at once."""
    shown = b""
    while last not in shown:
        assert select.select([terminal], [], [], 10)[0], shown
        shown += os.read(terminal, 65536)
    return shown


def test_console_draws_on_screens_and_writes_lines_on_serial(tmp_path, monkeypatch):
    screen_master, screen = pty.openpty()
    serial_master, serial = pty.openpty()
    (tmp_path / "active").write_text("tty0 ttyS0 ttyS9\n")
    (tmp_path / "tty0").symlink_to(os.ttyname(screen))
    (tmp_path / "ttyS0").symlink_to(os.ttyname(serial))
    monkeypatch.setattr("images.agent.console.ACTIVE", tmp_path / "active")
    lines: list[str] = []
    console = Console(lines.append, tmp_path)
    console.status("imaging n1", "disk full")
    console.progress(50, 100, 10.0)
    drawn, written = shown_on(screen_master, b"disk full"), shown_on(serial_master, b"50%")
    assert b"\x1b[H" in drawn and b"disk full" in drawn and b"[ok]" not in drawn
    assert b"\x1b" not in written and b"imaging n1: disk full" in written and b"50%" in written
    assert len(lines) == 1 and "imaging n1: disk full" in lines[0]


def test_a_dead_console_does_not_hold_up_the_work(tmp_path, monkeypatch):
    master, slave = pty.openpty()
    (tmp_path / "ttyS0").symlink_to(os.ttyname(slave))
    (tmp_path / "active").write_text("ttyS0\n")
    monkeypatch.setattr("images.agent.console.ACTIVE", tmp_path / "active")
    monkeypatch.setattr("images.agent.console.PATIENCE", 0.01)
    console = Console(folder=tmp_path)
    began = time.monotonic()
    for _ in range(300):  # far more than a terminal holds; nobody reads
        console.say("x" * 500)
    assert time.monotonic() - began < 30.0
    os.close(master)
