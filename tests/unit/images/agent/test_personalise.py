"""What an image becomes when it is this node: names, network files of each style, keys, identity."""

import configparser
import os
import stat
from pathlib import Path

import pytest

from images.agent import netconfig, netstyle, personalise
from images.agent.identity import parse_identity
from images.agent.rootfs import Root
from images.errors import BadInput

TASK = {
    "name": "n1",
    "domain": "cluster.test",
    "address_method": "static",
    "mac": "52:54:00:00:00:01",
    "address": "10.77.0.11/24",
    "gateway": "10.77.0.1",
    "dns": ["10.77.0.1", "10.77.0.2"],
    "search": ["cluster.test"],
    "hosts": [["10.77.0.11", "n1.cluster.test", "n1"], ["10.77.0.12", "n2.cluster.test", "n2"]],
    "ssh_authorized_keys": ["ssh-ed25519 AAAA admin"],
    "root_password_hash": "$y$abc",
}


def node(**changes):
    return parse_identity({**TASK, **changes})


@pytest.fixture
def image(tmp_path):
    for folder in (
        "etc/systemd/system/multi-user.target.wants",
        "usr/lib/systemd/system",
        "etc/ssh",
        "var/lib/dbus",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/systemd").write_text("")
    (tmp_path / "etc/hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\tgolden\n10.0.0.9 printer n1\n")
    (tmp_path / "etc/fstab").write_text("UUID=golden / ext4 defaults 0 1\nnfs:/home /home nfs defaults 0 0\n")
    (tmp_path / "etc/shadow").write_text("root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n")
    (tmp_path / "etc/shadow").chmod(0o640)
    (tmp_path / "etc/machine-id").write_text("golden\n")
    (tmp_path / "etc/ssh/ssh_host_rsa_key").write_text("golden's")
    return tmp_path


def unit(image: Path, name: str, enabled: bool) -> None:
    (image / "usr/lib/systemd/system" / name).write_text("[Unit]\n")
    if enabled:
        link = image / "etc/systemd/system/multi-user.target.wants" / name
        link.symlink_to(f"/lib/systemd/system/{name}")


def run(image: Path, **changes):
    said: list[str] = []
    keys = personalise.personalise(
        image, node(**changes), "UUID=new\t/\text4\tdefaults\t0\t1\n", "quiet", said.append
    )
    return said, keys


def test_names_identity_and_accounts(image):
    run(image)
    assert (image / "etc/hostname").read_text() == "n1\n"
    id_ = (image / "etc/machine-id").read_text().strip()
    assert (
        len(id_) == 32
        and id_ != "golden"
        and os.readlink(image / "var/lib/dbus/machine-id") == "/etc/machine-id"
    )
    assert not (image / "etc/ssh/ssh_host_rsa_key").exists()
    assert (image / "etc/shadow").read_text().splitlines()[0] == "root:$y$abc:19000:0:99999:7:::"
    assert stat.S_IMODE((image / "etc/shadow").stat().st_mode) == 0o640
    keys = image / "root/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA admin\n" and stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700


def test_two_nodes_of_one_image_differ(image, tmp_path):
    run(image)
    first = (image / "etc/machine-id").read_text()
    run(image)
    assert (image / "etc/machine-id").read_text() != first


def test_fstab_keeps_only_what_is_no_disk_of_the_golden_machine(image):
    run(image)
    lines = [line for line in (image / "etc/fstab").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["UUID=new\t/\text4\tdefaults\t0\t1", "nfs:/home /home nfs defaults 0 0"]


def test_hosts_once_and_again():
    once = personalise.hosts("127.0.0.1\tlocalhost\n127.0.1.1\tgolden\n10.0.0.9 printer n1\n# note\n", node())
    assert once.splitlines() == [
        "127.0.0.1\tlocalhost", "# note", personalise.BEGIN, "10.77.0.11\tn1.cluster.test n1",
        "10.77.0.12\tn2.cluster.test n2", personalise.END,
    ]  # fmt: skip
    assert personalise.hosts(once, node()) == once


def test_hosts_of_a_dynamic_node_name_itself_locally():
    text = personalise.hosts("", node(address_method="dynamic", hosts=[]))
    assert "127.0.1.1\tn1.cluster.test n1" in text and "127.0.0.1\tlocalhost" in text


def test_networkd_static(image):
    unit(image, "systemd-networkd.service", enabled=True)
    unit(image, "systemd-resolved.service", enabled=False)
    said, _ = run(image)
    parser = configparser.ConfigParser(strict=False)
    parser.optionxform = str
    parser.read(image / "etc/systemd/network/05-bootsrv.network")
    assert parser["Match"]["PermanentMACAddress"] == TASK["mac"]
    assert parser["Network"]["Address"] == "10.77.0.11/24" and parser["Network"]["Gateway"] == "10.77.0.1"
    assert os.readlink(image / "etc/resolv.conf") == netstyle.STUB
    assert (image / "etc/systemd/system/multi-user.target.wants/systemd-resolved.service").is_symlink()
    assert "networkd, static 10.77.0.11/24" in said[0]


def test_networkd_without_resolved_gets_a_plain_resolver_file(image):
    unit(image, "systemd-networkd.service", enabled=False)
    run(image, address_method="reserved")
    assert "nameserver 10.77.0.1" in (image / "etc/resolv.conf").read_text()
    assert "ClientIdentifier=mac" in (image / "etc/systemd/network/05-bootsrv.network").read_text()
    assert (image / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service").is_symlink()


def test_netplan_wins_and_sets_the_golden_machines_file_aside(image):
    (image / "etc/netplan").mkdir()
    (image / "usr/sbin").mkdir()
    (image / "usr/sbin/netplan").write_text("")
    (image / "etc/netplan/50-cloud-init.yaml").write_text("golden")
    (image / "etc/cloud").mkdir()
    run(image)
    assert os.listdir(image / "etc/netplan") == ["90-bootsrv.yaml"]
    text = (image / "etc/netplan/90-bootsrv.yaml").read_text()
    assert 'addresses: ["10.77.0.11/24"]' in text and 'macaddress: "52:54:00:00:00:01"' in text
    assert (image / "var/lib/bootsrv/original/etc/netplan/50-cloud-init.yaml").read_text() == "golden"
    assert "preserve_hostname: true" in (image / "etc/cloud/cloud.cfg.d/99-bootsrv.cfg").read_text()


def test_networkmanager(image):
    unit(image, "NetworkManager.service", enabled=True)
    run(image)
    file = image / "etc/NetworkManager/system-connections/bootsrv.nmconnection"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    parser = configparser.ConfigParser()
    parser.read(file)
    assert parser["ethernet"]["mac-address"] == TASK["mac"]
    assert (
        parser["ipv4"]["address1"] == "10.77.0.11/24,10.77.0.1"
        and parser["ipv4"]["dns"] == "10.77.0.1;10.77.0.2;"
    )


def test_ifupdown_names_the_card_by_its_mac(image):
    (image / "etc/network").mkdir()
    (image / "usr/sbin").mkdir()
    (image / "usr/sbin/ifup").write_text("")
    (image / "etc/network/interfaces").write_text("auto ens3\niface ens3 inet dhcp\n")
    run(image)
    assert "ens3" not in (image / "etc/network/interfaces").read_text()
    assert "iface lan0 inet static" in (image / "etc/network/interfaces.d/bootsrv").read_text()
    assert "Name=lan0" in (image / "etc/systemd/network/05-bootsrv.link").read_text()
    assert "nameserver 10.77.0.2" in (image / "etc/resolv.conf").read_text()


def test_untouched_leaves_the_network_alone(image):
    unit(image, "systemd-networkd.service", enabled=True)
    before = sorted(p for p in image.rglob("*network*"))
    run(image, address_method="untouched")
    assert sorted(p for p in image.rglob("*network*")) == before


def test_no_network_software_is_said_not_hidden(image):
    said, _ = run(image)
    assert "no network software that we know" in said[0]


@pytest.mark.parametrize("style", sorted(netconfig.STYLES))
def test_dhcp_keeps_the_firmwares_identity(style):
    text = "".join(f.text for f in netconfig.STYLES[style](node(address_method="reserved")).values())
    assert "10.77.0.11" not in text
    assert style == "ifupdown" or "mac" in text.lower().replace("macaddress", "").replace("mac-address", "")


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "n1\nroot"}, {"name": ""}, {"mac": "52:54"},
        {"address": "10.77.0.11/24; rm"}, {"address_method": "x"},
        {"address": None},
        {"dns": ["a b"]}, {"ssh_authorized_keys": ["a\nb"]}, {"hosts": [["1.2.3.4", "a\nb"]]},
        {"search": ["a #"]},
        {"root_password_hash": "a:b"}, {"domain": "a/b"}, {"kernel_args": "a\nb"},
    ],
)  # fmt: skip
def test_identity_refuses_what_would_break_a_file(bad):
    with pytest.raises(BadInput):
        node(**bad)


def test_selinux_asks_for_labels(image):
    (image / "etc/selinux").mkdir()
    (image / "etc/selinux/config").write_text("# x\nSELINUX=enforcing\n")
    run(image)
    assert (image / ".autorelabel").exists()


def test_enable_does_nothing_without_the_unit(image):
    assert netstyle.enable(Root(image), "no-such.service") is False
