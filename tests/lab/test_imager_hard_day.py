"""The agent in the real imager, on a machine whose day goes wrong: nothing half-done, nothing half-booted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from bootsrv.lab.seed import seeded_store
from bootsrv.payloads import default_dir

RIG = Path(__file__).with_name("imager_rig.py")
KEPT = Path(__file__).parents[2] / "build" / "log" / "lab"
UNSHARE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["poweroff", pytest.param("kexec", marks=pytest.mark.slow)])
def day(request, tmp_path_factory):
    """All that the node said."""
    work = tmp_path_factory.mktemp("rig")
    store = seeded_store({"debian": "debian-12-vm", "debian-b": "debian-12-vm-b"}, print)
    inside = [sys.executable, str(RIG), str(default_dir() / "imager"), str(store), str(work), request.param]
    shell = 'ip link set lo up && exec "$@"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", shell, "sh", *inside],
        capture_output=True, text=True, timeout=800, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"imager-{request.param}.json").write_text(json.dumps(said, indent=1))
    assert "timeout" not in said["marks"], (said["marks"], said["log"][-20:])
    return said


def texts(day, kind):
    return [e["text"] for e in day["events"] if e["kind"] == kind]


def test_tells_what_it_is(day):
    facts = day["facts"][0]
    assert facts["macs"] == ["52:54:00:00:00:01"] and facts["firmware"] == "bios"
    assert [(d["path"], d["serial"], d["size"]) for d in facts["disks"]] == [("/dev/vda", "RIG1", 3 << 30)]
    assert facts["memory"] > 700 << 20 and facts["cpu"]["count"] == 2 and facts["dmi"]["vendor"] == "QEMU"
    assert day["refused"] == []


def test_is_up_in_seconds(day):
    assert day["marks"]["seconds_to_facts"] < 60  # 8 to 15 on two idle cores without KVM


def test_a_disk_that_is_too_small_is_named_and_not_touched(day):
    first = texts(day, "deploy.failed")[0]
    assert "too small" in first or "large enough" in first
    assert "100" in first and "3.0 GiB" in first
    assert day["marks"]["untouched"]


def test_damage_on_the_way_never_makes_a_bootable_disk(day):
    second = texts(day, "deploy.failed")[1]
    assert "do not match" in second or "chunk" in second
    assert day["marks"]["unbootable"]


def test_goes_on_when_the_server_comes_back(day):
    assert day["marks"]["came_back"]
    done = next(e for e in day["events"] if e["kind"] == "deploy.done")
    assert set(done["data"]["ssh_host_keys"]) >= {"ed25519", "ecdsa"}
    assert "xfs root, made new: /dev/vda3: it holds ext4" in texts(day, "deploy.format")[-1]
    kinds = [e["kind"] for e in day["events"]]
    last = kinds[len(kinds) - kinds[::-1].index("deploy.failed") :]
    order = [k for k in last if k != "deploy.progress"]
    assert order == [
        "deploy.disk", "deploy.started", "deploy.partition", "deploy.format", "deploy.files", "deploy.verify",
        "deploy.personalise", "deploy.loader", "deploy.done", "imager.reboot",
    ]  # fmt: skip


def test_calls_home_from_its_own_disk(day):
    home = day["homes"][0]
    said = {k: v[0] for k, v in parse_qs(home["body"]).items()}
    assert home["token"] == "Bearer HOME" and said["hostname"] == "n1"
    assert said["image"].startswith("debian@") and said["kernel"].startswith("6.1")


def test_no_secret_in_the_log(day):
    assert not any("HOME" in line or "Bearer" in line for line in day["log"])
