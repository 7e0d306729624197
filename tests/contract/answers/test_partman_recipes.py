"""Our recipes, read by the scripts of Debian's installer itself: what partman would lay on which disk, below
which volume group. Its shell is run as it is in its packages; only its dialogs with parted are stood in for.
"""

from __future__ import annotations

import lzma
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_answers_ecosystem import HOME

from pxe.answers.preseed.render import render
from pxe.answers.profile import profile_from
from pxe.answers.targets import find_target

MIRROR = "http://deb.debian.org/debian"
HELPER = ["/usr/lib/apt/apt-helper", "-oAPT::Sandbox::User=root", "download-file"]
# Of the dialogs: every disk has a GPT. A question would wait for a person, so it is told.
STUBS = """
DEVICES=$1 recipe=$2 method=$3 extra_devices=$4 pv_devices=$5
NL='
' TAB='	'
restore_ifs() { IFS=" $TAB$NL"; }
open_dialog() { :; }
close_dialog() { :; }
read_line() { eval "$1=gpt"; }
db_get() { RET=; }
db_metaget() { RET=; }
db_input() { echo "asked $2"; }
db_go() { :; }
"""
PLAN = """
bail_out() { echo "asked $1"; exit 0; }
cap_ram() { echo 2000; }
convert_to_megabytes() { echo 2000; }
main_device=$DEVICES/=dev=vda
cd $main_device
decode_recipe $recipe ${method%%:*}
if [ $method = default ]; then
    echo "$scheme" | sed 's/^/laid /'
    exit
fi
method=${method#*:}
laid() {
@PREPARE@
}
laid
echo "$scheme" | sed -n '/./s/^/laid /p'
echo "$lvmscheme" | sed 's/^/volume /'
auto_lvm_create_vg_map
for file in $VG_MAP_DIR/*; do echo "group ${file##*/} $(echo $(cat $file))"; done
"""


@pytest.fixture(scope="module")
def partman() -> Path:
    """The libraries of partman-auto and partman-auto-lvm, from their packages."""
    place = HOME / "partman"
    if not (place / "lib").exists():
        place.mkdir(parents=True, exist_ok=True)
        index = place / "Packages.xz"
        get("dists/trixie/main/debian-installer/binary-amd64/Packages.xz", index)
        text = lzma.decompress(index.read_bytes()).decode()
        for name in ("partman-auto", "partman-auto-lvm"):
            found = re.search(rf"^Package: {name}\n(?:.+\n)*?Filename: (\S+)$", text, re.MULTILINE)
            assert found, name
            get(found[1], place / f"{name}.udeb")
            command = ["dpkg-deb", "--extract", str(place / f"{name}.udeb"), str(place)]
            subprocess.run(command, check=True, capture_output=True)
    return place / "lib/partman/lib"


def get(path: str, place: Path) -> None:
    subprocess.run([*HELPER, f"{MIRROR}/{path}", str(place)], check=True, capture_output=True, timeout=120)


def told(
    partman: Path, tmp_path: Path, disks: dict[str, Any], method: str, pvs: str = "", extra: str = ""
) -> dict:
    """What partman makes of the disks: lines by kind."""
    given = profile_from({"disks": disks})
    answers = {line.split()[1]: line.split(None, 3)[-1]
               for line in render(given, find_target("debian13"), {"lock": "x"}).splitlines()}  # fmt: skip
    device = tmp_path / "devices/=dev=vda"
    device.mkdir(parents=True)
    (device / "device").write_text("/dev/vda\n")
    (tmp_path / "recipe").write_text(answers["partman-auto/expert_recipe"] + "\n")
    lvm = (partman / "auto-lvm.sh").read_text()
    pieces = lvm[lvm.index("add_envelope() {") : lvm.index("auto_lvm_prepare() {")]
    pieces = pieces.replace("/var/lib/partman/auto_lvm_map", str(tmp_path / "map"))
    prepare = lvm[lvm.index("\tnormalscheme=$(echo") : lvm.index("\tauto_lvm_create_partitions $main_device")]
    text = STUBS + (partman / "recipes.sh").read_text() + pieces + PLAN.replace("@PREPARE@", prepare)
    words = [str(tmp_path / "devices"), str(tmp_path / "recipe"), method, extra, pvs]
    done = subprocess.run(["sh", "-s", *words], input=text, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = {"laid": [], "volume": [], "group": [], "asked": []}
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        found[kind].append(rest)
    assert found["asked"] == [], done.stdout
    return found


def methods(lines: list[str]) -> list[str]:
    return [found[1] for line in lines if (found := re.search(r"method\{ (\S+) \}", line))]


VOLUMES = {
    "groups": [{"name": "farm", "members": ["pv.1"]}],
    "volumes": [{"mount": "swap", "group": "farm", "name": "pages", "size": 200},
                {"mount": "/", "group": "farm", "name": "system", "size": 900, "grow": True}],
}  # fmt: skip
BOOT = {"name": "/boot", "size": 300}


def test_a_group_on_an_encrypted_partition(partman: Path, tmp_path: Path) -> None:
    parts = [BOOT, {"name": "pv.1", "size": 900, "grow": True, "luks": {"passphrase": "secret:lock"}}]
    made = told(partman, tmp_path, {"partitions": parts, **VOLUMES}, "lvm:crypto", "/dev/mapper/vda4_crypt")
    assert methods(made["laid"]) == ["biosgrub", "efi", "format", "crypto"]
    assert "mountpoint{ /boot }" in made["laid"][2]
    assert made["group"] == ["@DEFAULT@ /dev/mapper/vda4_crypt"]  # which has the name that is asked for
    assert [line.split("lv_name{ ")[1].split()[0] for line in made["volume"]] == ["pages", "system"]


def test_a_group_on_two_disks(partman: Path, tmp_path: Path) -> None:
    parts = [BOOT, {"name": "pv.1", "size": 900, "disk": "vda"}, {"name": "pv.2", "size": 900, "disk": "vdb"}]
    disks = {"partitions": parts, **VOLUMES, "groups": [{"name": "farm", "members": ["pv.1", "pv.2"]}]}
    made = told(partman, tmp_path, disks, "lvm:lvm", "/dev/vda4 /dev/vdb1", "=dev=vdb")
    assert methods(made["laid"]) == ["biosgrub", "efi", "format", "lvm"]  # on the first disk
    assert made["group"] == ["@DEFAULT@ /dev/vda4 /dev/vdb1"]


def test_volumes_on_arrays_are_no_partitions_of_the_disks(partman: Path, tmp_path: Path) -> None:
    parts = [
        {"name": f"raid.{n}", "size": 300 if n < 3 else 900, "disk": "vda" if n % 2 else "vdb"}
        for n in range(1, 5)
    ]
    raids = [{"name": "/boot", "device": "md0", "members": ["raid.1", "raid.2"]},
             {"name": "pv.1", "device": "md1", "members": ["raid.3", "raid.4"]}]  # fmt: skip
    made = told(partman, tmp_path, {"partitions": parts, "raids": raids, **VOLUMES}, "default")
    assert methods(made["laid"]) == ["biosgrub", "efi", "raid", "raid"]
