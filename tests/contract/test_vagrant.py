"""The Vagrant lab: Vagrant accepts the file, and the server it provisions accepts the configuration."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from bootsrv.config import load

VAGRANT = Path(__file__).parents[2] / "vagrant"


@pytest.mark.timeout(180)
def test_vagrant_validates_the_file(tmp_path: Path) -> None:
    env = {**os.environ, "VAGRANT_HOME": str(tmp_path), "VAGRANT_CHECKPOINT_DISABLE": "1"}
    env["VAGRANT_DOTFILE_PATH"] = str(tmp_path / "state")
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"], cwd=VAGRANT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for machine in ("server", "bios", "uefi"):
        assert f"==> {machine}:" in done.stdout


def test_the_provisioned_configuration_is_valid(tmp_path: Path) -> None:
    script = (VAGRANT / "provision.sh").read_text()
    found = re.search(r"<<CONFIG\n(.*?)\nCONFIG\n", script, re.DOTALL)
    assert found
    file = tmp_path / "bootsrv.toml"
    file.write_text(found[1].replace("$interface", "eth1"))
    config = load(file)
    assert config.interfaces == ("eth1",)
    server = re.search(r"ip: '([0-9.]+)'", (VAGRANT / "Vagrantfile").read_text())
    assert server and str(config.subnets[0].routers[0]) == server[1]
