"""The kernel's own NFS server, in a guest that has it: exports of ours beside an administrator's, to the
kernel's client there."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from kept import keep

import images
from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store
from bootsrv.model import NodeState
from images.erofs.writing import write_image
from images.importing.from_directory import import_directory
from images.store import ImageStore

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(1200)]
SCRIPT = Path(__file__).with_name("kernel_nfs_guest.py")
ADDRESS = "10.77.0.11"
APT = "apt-get -qq -o Acquire::Check-Valid-Until=false"  # a mirror may be behind
INSTALL = f"{APT} update && {APT} -y --no-install-recommends install nfs-kernel-server"


def parcel(tmp_path: Path) -> bytes:
    """The script, what it imports, and a small version's image."""
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/edition").write_text("tiny")
    store = ImageStore.open(tmp_path / "store")
    import_directory(store, "tiny", tmp_path / "tree")
    write_image(store.manifest("tiny"), store.source("tiny"), tmp_path / "image")
    home, out = Path(images.__file__).parent, io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for path in (
            *home.glob("nfs/*.py"),
            *(home / f"{name}.py" for name in ("__init__", "errors", "disk")),
        ):
            packed.add(path, f"images/{path.relative_to(home)}")
        packed.add(SCRIPT, SCRIPT.name)
        packed.add(tmp_path / "image", "image")
    return out.getvalue()


def settled(lab: Lab) -> None:
    """A machine that runs the version with the kernel's server from its own disk, which can be exported."""
    verbs = Appliance.open(load(lab.service.config))
    machine = lab.add(Firmware.BIOS)
    lab.service.cli(
        "node", "add", "n1", "--mac", machine.spec.mac, "--address", ADDRESS, "--method", "static",
        "--image", "debian@2",
    )  # fmt: skip
    machine.on()
    ends = time.monotonic() + 900
    while (node := verbs.nodes.show("n1")).state is not NodeState.RUNNING:
        assert node.state is not NodeState.FAILED, node.error
        assert time.monotonic() < ends, machine.console.tail(30)
        time.sleep(1)


def test_by_the_kernel(tmp_path: Path) -> None:
    sent = parcel(tmp_path)
    with Lab() as lab:
        plant(seeded_store({"debian": "debian-12-vm"}, print), lab.service.data)
        try:
            lab.service.start()
            lab.service.outside("image", "edit", "debian@1", "--", "sh", "-c", INSTALL)
            settled(lab)
            begin = "systemctl start nfs-server && systemctl is-active nfs-server"
            lab.service.ssh.run(ADDRESS, begin, timeout=120)
            words = f"mkdir /root/x; cd /root/x; tar x; python3 {SCRIPT.name} image {ADDRESS}"
            ssh = lab.service.ssh.command(ADDRESS, [words])
            done = subprocess.run(lab.namespace.enter(ssh), input=sent, capture_output=True, timeout=600)
        finally:
            keep(lab, "kernel-nfs-")
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    print(said)
    assert said["runs"]
    for version in ("4.2", "3"):
        assert said[version] == ["tiny", "kept"]
        assert re.search("denied|not permitted|No such file", said[f"{version} from elsewhere"])
    assert (said["before"], said["again"]) == ("kept", "kept")
    assert said["withdrawn"] in ("Stale file handle", "Permission denied", "Input/output error")
    assert said["left"].startswith("/srv/admin") and "bootsrv" not in said["left"]
