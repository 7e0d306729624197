"""The kernel's arguments, distribution by distribution and version by version."""

from __future__ import annotations

import pytest

from pxe import grub
from pxe.answers.profile import Profile, profile_from
from pxe.answers.start import Start, answer_names, arguments
from pxe.answers.targets import find_target
from pxe.trees.facts import Installer, TreeFacts

TREE, ANSWERS, MAC = (
    "http://10.0.0.1:8080/tree/t/",
    "http://10.0.0.1:8080/install/TOKEN/",
    "52:54:00:12:34:56",
)
BOOTIF = "BOOTIF=01-52-54-00-12-34-56"


def facts(installer: Installer, target: str = "", root: str = "", initrd: str = "initrd.img") -> TreeFacts:
    return TreeFacts(
        "any", "1", "x86_64", "A tree", installer, target, "vmlinuz", (f"images/{initrd}",), root
    )


def line(installer: Installer, target: str, profile: Profile | None = None, **more: object) -> str:
    root, initrd = str(more.pop("root", "")), str(more.pop("initrd", "initrd.img"))
    start = Start(facts(installer, target, root, initrd), TREE, ANSWERS, MAC, **more)  # type: ignore[arg-type]
    known = find_target(target) if target else None
    return arguments(start, profile or Profile(), known)


KS = f"{ANSWERS}ks.cfg"
MODERN = f"inst.ks={KS} inst.stage2={TREE} inst.repo={TREE} ip=dhcp {BOOTIF} initrd=initrd.img"
KICKSTART = {
    "rhl7.2": f"ks={KS} method={TREE[:-1]} initrd=initrd.img",
    "rhel3": f"ks={KS} method={TREE[:-1]} initrd=initrd.img",
    "rhel4": f"ks={KS} method={TREE[:-1]} initrd=initrd.img",
    "rhel5": f"ks={KS} ksdevice={MAC} method={TREE[:-1]} initrd=initrd.img",
    "rhel6": f"ks={KS} ksdevice={MAC} stage2={TREE}images/install.img method={TREE[:-1]} initrd=initrd.img",
    "rhel7": MODERN,
    "rhel8": MODERN,
    "rhel9": MODERN,
    "rhel10": MODERN,
    "fedora3": f"ks={KS} method={TREE[:-1]} initrd=initrd.img",
    "fedora8": f"ks={KS} ksdevice={MAC} method={TREE[:-1]} initrd=initrd.img",
    "fedora16": f"ks={KS} ksdevice={MAC} stage2={TREE}images/install.img method={TREE[:-1]} "
    "initrd=initrd.img",
    "fedora17": MODERN,
    "fedora42": MODERN,
}


@pytest.mark.parametrize("target", KICKSTART)
def test_kickstart(target: str) -> None:
    assert line(Installer.KICKSTART, target, root="images/install.img") == KICKSTART[target]


def test_what_the_answers_say_of_their_source_is_not_overridden() -> None:
    own = profile_from({"source": {"url": "http://elsewhere/"}})
    for target in ("rhel5", "rhel9"):
        said = line(Installer.KICKSTART, target, own)
        assert "inst.repo=" not in said and "method=" not in said


def test_anaconda_sends_its_log() -> None:
    assert "inst.syslog=10.0.0.1:514 " in line(Installer.KICKSTART, "rhel9", log="10.0.0.1:514")
    assert "syslog=10.0.0.1:514 " in line(Installer.KICKSTART, "rhel6", log="10.0.0.1:514")
    assert "syslog" not in line(Installer.KICKSTART, "rhel4", log="10.0.0.1:514")


@pytest.mark.parametrize("release", [10, 11, 12, 13])
def test_preseed(release: int) -> None:
    profile = profile_from({"hostname": "n1.cluster.test"})
    said = line(Installer.PRESEED, f"debian{release}", profile, log="10.0.0.1:514",
                console=("tty0", "ttyS0,115200n8"), initrd="initrd.gz")  # fmt: skip
    assert said == (
        f"auto=true priority=critical url={ANSWERS}preseed.cfg DEBIAN_FRONTEND=text interface=auto "
        "hostname=n1 domain=cluster.test netcfg/dhcp_timeout=60 log_host=10.0.0.1 log_port=514 "
        "initrd=initrd.gz --- console=tty0 console=ttyS0,115200n8"
    )


def test_preseed_of_a_static_address() -> None:
    network = {"method": "static", "device": "ens3", "address": "10.0.0.7", "netmask": "255.255.255.0",
               "gateway": "10.0.0.1", "name_servers": ["10.0.0.1", "10.0.0.2"]}  # fmt: skip
    said = line(Installer.PRESEED, "debian12", profile_from({"hostname": "n7", "network": [network]}))
    assert said == (
        f"auto=true priority=critical url={ANSWERS}preseed.cfg interface=ens3 hostname=n7 "
        "netcfg/disable_autoconfig=true netcfg/get_ipaddress=10.0.0.7 netcfg/get_netmask=255.255.255.0 "
        "netcfg/get_gateway=10.0.0.1 netcfg/get_nameservers=10.0.0.1 netcfg/confirm_static=true "
        "initrd=initrd.img"
    )


ISO = f"{TREE}medium.iso"
AUTOINSTALL = {
    "ubuntu20.04": f"root=/dev/ram0 ramdisk_size=1500000 ip=dhcp {BOOTIF} url={ISO} "
    f"cloud-config-url=/dev/null autoinstall ds=nocloud-net;s={ANSWERS} initrd=initrd",
    "ubuntu22.04": f"ip=dhcp {BOOTIF} url={ISO} cloud-config-url=/dev/null autoinstall "
    f"ds=nocloud-net;s={ANSWERS} initrd=initrd",
    "ubuntu24.04": f"ip=dhcp {BOOTIF} url={ISO} cloud-config-url=/dev/null autoinstall "
    f"ds=nocloud;s={ANSWERS} initrd=initrd",
}


@pytest.mark.parametrize("target", AUTOINSTALL)
def test_autoinstall(target: str) -> None:
    said = line(Installer.AUTOINSTALL, target, iso=ISO, initrd="initrd")
    assert said == AUTOINSTALL[target]


def test_a_semicolon_ends_no_command_of_grub() -> None:
    said = grub.quoted(line(Installer.AUTOINSTALL, "ubuntu24.04"))
    assert f" 'ds=nocloud;s={ANSWERS}' " in said and "';'" not in said


def test_autoyast_and_ignition() -> None:
    assert line(Installer.AUTOYAST, "", initrd="initrd") == (
        f"install={TREE} autoyast={ANSWERS}autoinst.xml netsetup=dhcp {BOOTIF} textmode=1 initrd=initrd"
    )
    assert line(Installer.IGNITION, "", root="rootfs.img", disk="/dev/vda") == (
        f"coreos.live.rootfs_url={TREE}rootfs.img ip=dhcp ignition.firstboot ignition.platform.id=metal "
        f"coreos.inst.install_dev=/dev/vda coreos.inst.ignition_url={ANSWERS}config.ign initrd=initrd.img"
    )


def test_every_installer_has_its_files() -> None:
    assert all(answer_names(one) for one in Installer if one is not Installer.NONE)
    with pytest.raises(ValueError, match="takes answers"):
        line(Installer.NONE, "")


def test_no_value_becomes_two_words() -> None:
    with pytest.raises(ValueError, match="not a word"):
        line(Installer.IGNITION, "", disk="/dev/sda quiet")
    with pytest.raises(ValueError, match="not a word"):
        line(Installer.AUTOYAST, "", console=('ttyS0"',))
