"""A killed process's directory is swept, and nothing but that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from images.workplace import sweep, workplace

LEAVE = (
    "import os, signal, sys; from pathlib import Path; from images.workplace import workplace\n"
    "with workplace('x', Path(sys.argv[1])) as home:\n"
    "    (home / 'root/deep').mkdir(parents=True); (home / 'root/deep/file').write_text('')\n"
    "    print(home, flush=True); sys.stdin.read(); os.kill(os.getpid(), signal.SIGKILL)"
)


def leave(parent: Path) -> Path:
    words = [sys.executable, "-c", LEAVE, str(parent)]
    return Path(subprocess.run(words, input="", capture_output=True, text=True).stdout.strip())


def test_gone_afterwards(tmp_path: Path) -> None:
    with pytest.raises(KeyError), workplace("x", tmp_path) as home:
        (home / "file").write_text("")
        assert home.stat().st_mode & 0o777 == 0o700
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_the_next_one_sweeps_the_dead_and_leaves_the_living(tmp_path: Path) -> None:
    dead = leave(tmp_path)
    assert (dead / "root/deep/file").exists()
    words = [sys.executable, "-c", LEAVE, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        living = Path(child.stdout.readline().strip())
        assert not dead.exists(), "swept by the other process"
        with workplace("x", tmp_path) as home:
            assert sorted(tmp_path.iterdir()) == sorted([home, living])
        assert (living / "root/deep/file").exists()
        child.stdin.close()
    sweep("bootsrv-x-", tmp_path)
    assert not list(tmp_path.iterdir())


def test_links_and_files_of_that_name_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "bootsrv-x-link").symlink_to("precious")
    (tmp_path / "bootsrv-x-file").write_text("")
    sweep("bootsrv-x-", tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="other owners and mounts need root")
class TestAsRoot:
    def test_another_user_owns_it(self, tmp_path: Path) -> None:
        (tmp_path / "bootsrv-x-y").mkdir()
        os.chown(tmp_path / "bootsrv-x-y", 4711, 4711)
        sweep("bootsrv-x-", tmp_path)
        assert (tmp_path / "bootsrv-x-y").exists()

    def test_mounts_are_taken_away_and_never_followed(self, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        (precious / "sub").mkdir(parents=True)
        (precious / "file").write_text("x")
        parent = tmp_path / "a b"  # mountinfo writes the space in octal
        parent.mkdir()
        dead = leave(parent)
        for _ in range(2):  # one over the other
            subprocess.run(["mount", "--bind", precious, dead / "root/deep"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", dead / "root/deep/sub"], check=True)
        try:
            sweep("bootsrv-x-", parent)
            assert not list(parent.iterdir())
        finally:
            while str(dead).replace(" ", "\\040") in Path("/proc/self/mounts").read_text():
                subprocess.run(["umount", "--recursive", dead / "root/deep"], check=True)
        assert (precious / "file").read_text() == "x" and (precious / "sub").is_dir()

    def test_a_mount_that_stays_keeps_it_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        dead = leave(tmp_path)
        monkeypatch.setattr("images.workplace._mounts_below", lambda path: [os.fsencode(dead / "root")])
        sweep("bootsrv-x-", tmp_path)  # what is no mount cannot be unmounted
        assert (dead / "root/deep/file").exists() and "remove it by hand" in caplog.text
