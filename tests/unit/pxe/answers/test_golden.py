"""One profile, every system: the files as they are kept in `golden`, each good for what reads it.

After a change that is meant: `GOLDEN=write` once, and look at what git says.
"""

import os
from pathlib import Path

import pytest
from ks_house import PLAIN

from bootsrv.answers.files import render
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target

HERE = Path(__file__).parent / "golden"
TARGETS = (
    "rhl7.2", *(f"rhel{n}" for n in range(3, 12)), "fedora3", "fedora17", "fedora33", "fedora42", "fedora46",
    *(f"debian{n}" for n in range(10, 14)), "ubuntu20.04", "ubuntu24.04", "sles12", "sles15", "leap15.6",
    "coreos", "flatcar", "nocloud",
)  # fmt: skip
# What some of them have no word for.
WITHOUT = {
    "debian": ("packages", "firewall"), "ubuntu": ("packages", "firewall"),
    "sles": (), "leap": (), "coreos": ("packages", "disks", "bootloader", "firewall"),
    "flatcar": ("packages", "disks", "bootloader", "firewall"),
    "nocloud": ("packages", "disks", "bootloader", "firewall"),
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_the_file_is_as_it_was_and_good_for_its_reader(target):
    without = next((names for start, names in WITHOUT.items() if target.startswith(start)), ())
    done = render(profile_from({k: v for k, v in PLAIN.items() if k not in without}), find_target(target), {})
    assert done.good, [str(one) for one in done.findings]
    file = HERE / f"{target}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(done.text)
    assert done.text == file.read_text()
