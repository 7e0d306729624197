"""The shell that answers carry does what it says, by a real shell."""

import os
import subprocess
from pathlib import Path

import pytest

from pxe.answers.profile import Profile, Step, User, UserGroup, When
from pxe.answers.shell import (
    account_script,
    at_boot,
    changed_account_script,
    first_boot_script,
    group_script,
    time_script,
)


def elsewhere(text: str, root: Path) -> str:
    """The shell with the system's directories below `root`, once."""
    if str(root) in text:
        return text
    for name in ("/usr/local/sbin", "/etc/", "/var/log"):
        text = text.replace(name, f"{root}{name}")
    return text


@pytest.fixture
def run(tmp_path: Path):
    """Runs shell; programs that change a system only say what they were asked."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("systemctl", "chkconfig", "useradd", "usermod", "groupadd", "groupmod"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n')
        (tools / name).chmod(0o755)
    (tools / "getent").write_text('#!/bin/sh\n[ "$2" = sudo ]\n')
    (tools / "getent").chmod(0o755)

    def run(text: str) -> list[str]:
        env = {"PATH": f"{tools}:{os.environ['PATH']}"}
        subprocess.run(["sh", "-u"], input=elsewhere(text, tmp_path), text=True, check=True, env=env)
        asked = tmp_path / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return lines

    return run


@pytest.mark.parametrize("systemd", [True, False])
def test_all_scripts_of_the_first_boot_run_in_their_order_and_go(run, tmp_path: Path, systemd: bool) -> None:
    for name in ("etc/systemd/system" if systemd else "etc/init.d", "var/log"):
        (tmp_path / name).mkdir(parents=True)
    steps = [Step(text="echo one\nexit 3\n", when=When.FIRST_BOOT), Step(text="echo no\n"),
             Step(text='print("two")', when=When.FIRST_BOOT, interpreter="/usr/bin/env python3")]  # fmt: skip
    run(first_boot_script(steps))
    script = tmp_path / "usr/local/sbin/bootsrv-first-boot"
    text = script.read_text()
    run(text)  # as the unit does it
    assert (tmp_path / "var/log/bootsrv-first-boot.log").read_text() == "one\ntwo\n"
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {one for one in left if not one.startswith("tools/")} == {"var/log/bootsrv-first-boot.log"}


def test_a_script_that_must_end_well_stays_until_it_has(run, tmp_path: Path) -> None:
    for name in ("etc/systemd/system", "var/log"):
        (tmp_path / name).mkdir(parents=True)
    done = tmp_path / "etc/done"
    run(at_boot("call", "Call", ["#!/bin/sh\n[ -e /etc/done ]\n"], until_done=True))
    script = tmp_path / "usr/local/sbin/call"
    with pytest.raises(subprocess.CalledProcessError):
        run(script.read_text())
    assert script.exists()
    done.touch()
    run(script.read_text())
    assert not script.exists()


def test_accounts_have_their_groups_whoever_makes_the_account(run) -> None:
    ada = User(name="ada", groups=("sudo", "crew"), uid=1500, gid=1600, home="/srv/ada", shell="/bin/zsh",
               locked=True)  # fmt: skip
    assert run(account_script(ada)) == [
        "groupadd crew", "groupadd -g 1600 ada",
        "useradd -m -u 1500 -g 1600 -d /srv/ada -s /bin/zsh -G sudo,crew ada", "usermod -L ada",
    ]  # fmt: skip
    assert run(changed_account_script(ada)) == [
        "groupadd crew", "groupmod -g 1600 ada",
        "usermod -u 1500 -aG sudo,crew -g 1600 -s /bin/zsh -m -d /srv/ada -L ada",
    ]  # fmt: skip
    assert run(changed_account_script(User(name="ada"))) == []
    assert run(group_script(UserGroup(name="crew", gid=70))) == ["groupadd -g 70 crew"]


def test_time_servers_are_those_of_the_profile(run, tmp_path: Path) -> None:
    run(time_script(Profile(ntp_servers=("10.0.0.1", "ntp.example"))))
    assert (
        tmp_path / "etc/systemd/timesyncd.conf.d/servers.conf"
    ).read_text() == "[Time]\nNTP=10.0.0.1 ntp.example\n"
    assert run(time_script(Profile(no_ntp=True))) == ["systemctl disable systemd-timesyncd"]
    assert time_script(Profile()) == ""
