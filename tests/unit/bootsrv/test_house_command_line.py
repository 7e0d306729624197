"""The command line as a person uses it: a real process, its output, its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bootsrv.cli import progress

BOOTSRV = [sys.executable, "-m", "bootsrv.cli.main"]


class Shell:
    """Runs `bootsrv` with one configuration."""

    def __init__(self, home: Path) -> None:
        self.config = home / "bootsrv.toml"
        self.config.write_text(
            f'data_dir = "{home}/data"\ndomain = "cluster.test"\n'
            '[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "authoritative"\n'
        )

    def __call__(self, *words: str, code: int = 0, given: str | None = None) -> str:
        done = subprocess.run(
            [*BOOTSRV, *words],
            env={**os.environ, "BOOTSRV_CONFIG": str(self.config)},
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


class TestNodes:
    def test_a_range_and_back(self, shell: Shell) -> None:
        assert (
            shell("node", "add", "n[01-03]", "--address", "10.77.0.11", "--group", "rack3").count(
                "registered"
            )
            == 3
        )
        listed = shell.json("node", "list")
        assert [(node["name"], node["address"]) for node in listed] == [
            ("n01", "10.77.0.11"), ("n02", "10.77.0.12"), ("n03", "10.77.0.13"),
        ]  # fmt: skip
        shell(
            "node",
            "set",
            "@rack3",
            "--option",
            "interface-mtu=9000",
            "--option",
            "ntp-servers=10.77.0.1,10.77.0.2",
        )
        shown = shell.json("node", "show", "n02")
        assert shown["options"] == {"interface-mtu": 9000, "ntp-servers": ["10.77.0.1", "10.77.0.2"]}
        assert "n03" in shell("node", "list", "n[02-03]")
        shell("node", "remove", "n[01-02]")
        assert [node["name"] for node in shell.json("node", "list")] == ["n03"]
        assert shell("explain", "n03").startswith("node")
        assert shell.json("timeline", "n03") == []
        assert shell.json("events", "n03")[0]["kind"] == "node.registered"

    def test_one_line_and_code_1_for_what_is_refused(self, shell: Shell) -> None:
        shell("node", "add", "n1", "--mac", "52:54:00:00:00:01")
        for words, said in (
            (("node", "add", "n1"), "name n1 is taken"),
            (("node", "add", "n2", "--mac", "52-54-00-00-00-01"), "belongs to n1"),
            (("node", "add", "n2", "--address", "10.99.0.1"), "in no subnet"),
            (("node", "add", "n2", "--address", "10.99.0"), "is not an IPv4 address"),
            (("node", "add", "n2", "--image", "none"), "none"),
            (("node", "add", "n2", "--disk", "sda"), "use /dev/NAME"),
            (("node", "set", "n1", "--disk", "serial:"), "use /dev/NAME"),
            (("node", "adopt", "52:54:00:00:00:99", "n2"), "no machine with this MAC was seen"),
            (("node", "remove", "n[1-2]"), "there is no node 'n2'"),
            (("reimage", "n1"), "has no image"),
            (("image", "show", "none"), "none"),
            (("explain", "n9"), "there is no node"),
        ):
            error = shell(*words, code=1)
            assert error.startswith("bootsrv: ")
            assert said in error
            assert error.count("\n") == 1
        assert [node["name"] for node in shell.json("node", "list")] == ["n1"]

    def test_usage_is_code_2(self, shell: Shell) -> None:
        shell("node", "nonsense", code=2)
        shell("node", "adopt", "52:54:00:00:00:99", code=2)
        shell("node", "add", "n[1-2]", "--mac", "52:54:00:00:00:01", code=2)
        shell("node", "add", "n1", "--option", "x", code=2)
        shell("timeline", "n1", "--boots", "0", code=2)
        shell("events", "--lines", "-1", code=2)
        assert "nothing to change" in shell("node", "set", "n1", code=2)
        said = shell("reimage", "n1", "--diskless", "--wipe", code=2)
        assert "--diskless excludes --cancel, --retry, --local and --wipe" in said
        shell("node", "add", "n[1-2]")
        assert "--address can be set for one" in shell(
            "node", "set", "n[1-2]", "--address", "10.77.0.9", code=2
        )
        assert not [event for event in shell.json("events") if event["kind"] == "node.changed"]

    def test_a_bad_configuration_is_code_2_and_one_line(self, shell: Shell) -> None:
        shell.config.write_text("interface = []\n")
        for words in (("node", "list"), ("serve", "--config", str(shell.config)), ("doctor",)):
            error = shell(*words, code=2)
            assert error == f"bootsrv: {shell.config}: key interface: there is no such key\n"


def test_what_the_system_refuses_is_one_plain_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    assert shell("node", "list", code=1) == f"bootsrv: {tmp_path}/data: File exists\n"


class TestUsers:
    def test_password_and_token(self, shell: Shell) -> None:
        shell("user", "passwd", "eve", given="long enough\n")
        assert shell.json("user", "list") == [{"name": "eve"}]
        assert len(shell("user", "token", "eve").strip()) > 40
        assert "eve: " in shell("user", "passwd", "eve", "--generate")
        shell("user", "remove", "eve")
        assert "8 characters" in shell("user", "passwd", "eve", given="short\n", code=1)


class TestImages:
    def test_import_list_tag_remove(self, shell: Shell, tmp_path: Path) -> None:
        root = tmp_path / "root"
        for name, text in (
            ("etc/os-release", "ID=debian\n"),
            ("boot/vmlinuz-6.1", "kernel"),
            ("bin/sh", "x"),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        assert shell("image", "import", "tiny", str(root), "--comment", "first").startswith("tiny@1: ")
        assert [version["ref"] for version in shell.json("image", "list")] == ["tiny@1"]
        assert " 1 KiB " in shell("image", "list")
        shown = dict(line.split(maxsplit=1) for line in shell("image", "show", "tiny").splitlines())
        assert shown["bytes"] == "17 (1 KiB)"
        assert shown["created"].startswith("20")
        shell("image", "tag", "tiny@1", "stable")
        assert shell.json("image", "show", "tiny@stable")["comment"] == "first"
        shell("node", "add", "n1", "--image", "tiny@stable")
        assert "n1 will be imaged" in shell("image", "remove", "tiny@1", code=1).replace(
            "what n1 will be", "n1 will be"
        )
        shell("reimage", "n1", "--cancel")
        assert shell.json("image", "verify") == []
        shell("image", "tag", "tiny", "stable", "--remove")
        shell("image", "remove", "tiny@1")
        assert shell.json("image", "list") == []
        assert "freed" in shell("image", "gc")
        assert "debian-12" in shell.json("image", "recipes")
        assert "Debian 12 with ssh and the usual tools" in shell("image", "recipes")
        shell("image", "import", "x", code=2)


def test_progress_says_no_amount_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "on_terminal", lambda: False)
    with progress.progress_of("importing x") as told:
        told(0, None, "installing packages")
        told(3 << 20, 9 << 20, "etc")
    assert capsys.readouterr().err == "importing x: installing packages\nimporting x: 3 of 9 MiB, etc\n"


def test_help_comes_fast(shell: Shell) -> None:
    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        assert "reimage" in shell("--help")
        best = min(best, time.perf_counter() - started)
    assert best < 1.0  # 0.15 s on an idle machine
