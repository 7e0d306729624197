"""Recipes: read strictly, built by argument lists, and what they make has no identity."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from imagestore import make

from images.errors import BadInput, ImageError, ImageNotFound
from images.importing import recipe_build, recipe_hook
from images.importing.recipe import FOLDER, File, load, names
from images.mirror import Mirrors


def test_those_that_come_with_the_program() -> None:
    assert {"debian-12", "debian-13", "debian-12-vm", "debian-12-vm-b"} <= set(names())
    for name in names():
        made = load(name)
        assert made.description and made.suite in ("bookworm", "trixie")
        assert any(package.startswith("linux-image") for package in made.packages)
        assert "openssh-server" in made.packages
    for path in FOLDER.iterdir():
        assert "://" not in path.read_text(), "no host's name in a recipe"


def test_a_base_is_joined(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'suite = "s"\npackages = ["x"]\nrun = [["true"]]\n[files."/a"]\ncontent = "1"\n'
    )
    (tmp_path / "b.toml").write_text(
        'base = "a"\nsuite = "t"\npackages = ["y"]\n[files."/b"]\ncontent = "2"\nmode = 0o600\n'
    )
    made = load("b", tmp_path)
    assert (made.suite, made.packages, made.run) == ("t", ("x", "y"), (("true",),))
    assert made.files == {"/a": File("1"), "/b": File("2", 0o600)}


@pytest.mark.parametrize(
    "text",
    [
        "", 'suite = "s"', "suite = 5", 'door = "x"', "broken", 'packages = "x"', "packages = [5]",
        'run = ["sh -c x"]',
        '[files."relative"]\ncontent = "x"', '[files."/a/../../b"]\ncontent = "x"', '[files."/a"]\nmode = 5',
        '[files."/a"]\ncontent = "x"\nowner = "me"', 'base = "self"', "base = 5", 'base = "../x"',
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "self.toml"
    path.write_text(text)
    with pytest.raises(BadInput):
        load(path, tmp_path)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(ImageNotFound, match="debian-12"):
        load("windows-95")
    with pytest.raises(BadInput):
        load("../../etc/passwd")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match=r"mine\.toml: there is no such recipe file"):
        load(tmp_path / "mine.toml")


def test_an_unknown_key_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('door = "x"')
    with pytest.raises(BadInput, match="known are base, components"):
        load(tmp_path / "mine.toml")


def test_the_hook(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("etc/ssh", "var/lib/dbus", "outside"):
        (root / name).mkdir(parents=True)
    (root / "etc/ssh/ssh_host_rsa_key").write_text("secret")
    (root / "etc/ssh/sshd_config").write_text("keep")
    (root / "etc/hostname").write_text("builder")
    (root / "etc/shadow").write_text("root:$y$secret:1:0:99999:7:::\ndaemon:*:1::::::\n")
    (root / "etc/machine-id").symlink_to("/nonexistent/outside")
    (root / "etc/link").symlink_to(tmp_path / "victim")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"files": {"/etc/link": {"content": "x", "mode": 0o640}}, "run": []}))
    assert recipe_hook.main([str(spec), str(root)]) == 0
    assert not (tmp_path / "victim").exists() and (root / "etc/link").read_text() == "x"
    assert stat.S_IMODE((root / "etc/link").stat().st_mode) == 0o640
    assert [path.name for path in (root / "etc/ssh").iterdir()] == ["sshd_config"]
    assert not (root / "etc/hostname").exists()
    assert (root / "etc/machine-id").read_bytes() == b"" and not (root / "etc/machine-id").is_symlink()
    assert (root / "etc/shadow").read_text() == "root:*:1:0:99999:7:::\ndaemon:*:1::::::\n"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_build, "host_mirrors", lambda: Mirrors("http://mirror.test/debian/", None))
    words = recipe_build.command(load("debian-12-vm-b"), tmp_path)
    assert words[0] == "mmdebstrap" and words[-3:-1] == ["bookworm", "-"]
    assert words[-1] == "deb http://mirror.test/debian/ bookworm main"
    (root := tmp_path / "root/etc").mkdir(parents=True)
    spec = json.loads((tmp_path / "spec.json").read_text())
    spec["run"] = []
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    hook = next(word for word in words if word.startswith("--customize-hook=")).partition("=")[2]
    subprocess.run([hook, str(root.parent)], check=True)
    assert (root / "bootsrv-edition").read_text() == "second\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="building needs root")
@pytest.mark.parametrize(
    "fake, told",
    [
        (
            "import sys; sys.stderr.write('I: working...\\nE: no such package\\n'); sys.exit(25)",
            "no such package",
        ),
        (
            "import sys; sys.stdout.write('x' * 512); sys.stderr.write('E: half way\\n'); sys.exit(1)",
            "half way",
        ),
    ],
)
def test_a_build_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: str, told: str
) -> None:
    monkeypatch.setattr(recipe_build, "command", lambda *_: [sys.executable, "-c", fake])
    monkeypatch.setattr(recipe_build, "signed_suites", lambda suites: suites)
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    store = make(tmp_path)
    steps: list[str] = []
    with pytest.raises(ImageError, match=told):
        recipe_build.import_recipe(
            store, "a", "debian-12-vm", progress=lambda done, total, what: steps.append(what)
        )
    assert store.names() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="building needs root")
def test_a_build_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = (
        "import io, sys, tarfile\n"
        "sys.stderr.write('I: installing...\\n')\n"
        "sys.stderr.write('I: /vmlinuz.old is now a symlink to boot/vmlinuz-6\\n')\n"
        "sys.stderr.write('I: running --customize-hook directly: /tmp/x/hook /tmp/y\\n')\n"
        "tar = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')\n"
        "info = tarfile.TarInfo('./etc'); info.type = tarfile.DIRTYPE; tar.addfile(info)\n"
        "info = tarfile.TarInfo('./boot/vmlinuz-6'); tar.addfile(info); tar.close()\n"
    )
    monkeypatch.setattr(recipe_build, "command", lambda *_: [sys.executable, "-c", fake])
    monkeypatch.setattr(recipe_build, "signed_suites", lambda suites: suites)
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    steps: list[str] = []
    version = recipe_build.import_recipe(
        make(tmp_path), "a", "debian-12-vm", progress=lambda done, total, what: steps.append(what)
    )
    assert version.meta["recipe"] == "debian-12-vm" and version.meta["kernel_args"].startswith("console=")
    assert version.comment.startswith("Debian 12")
    assert "files and commands of the recipe" in steps and not [step for step in steps if "/tmp" in step]
    assert not [step for step in steps if "symlink" in step]
    assert "installing" in steps and version.meta["kernels"] == ["6"]
