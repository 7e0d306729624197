"""Profiles and helpers for the kickstart tests."""

from pxe.answers.profile import profile_from

HASH = "$6$abcdefgh$" + "x" * 86

TODAY = {
    "source": {"url": "http://10.77.0.1:8080/trees/x"},
    "hostname": "n01",
    "ntp_servers": ["10.77.0.1"],
    "network": [
        {
            "device": "eth0",
            "method": "static",
            "address": "10.0.0.2",
            "netmask": "255.255.255.0",
            "gateway": "10.0.0.1",
            "name_servers": ["10.0.0.1", "10.0.0.3"],
        },
        {"device": "bond0", "bond_slaves": ["eth1", "eth2"], "bond_options": "mode=active-backup,miimon=100"},
        {"device": "eth3", "vlan": 171},
    ],
    "root": {"locked": True, "keys": ["ssh-ed25519 AAAA root@admin"]},
    "users": [
        {
            "name": "ada",
            "password": HASH,
            "full_name": "Ada 'the' \"L\"",
            "groups": ["wheel"],
            "keys": ["ssh-ed25519 BBBB ada"],
        }
    ],
    "disks": {
        "zero_mbr": True,
        "clear": {"what": "all", "init_label": True},
        "partitions": [
            {"name": "raid.11", "size": 1024, "disk": "sda"},
            {"name": "raid.12", "size": 1024, "disk": "sdb"},
            {"name": "raid.21", "size": 1, "grow": True, "disk": "sda"},
            {"name": "raid.22", "size": 1, "grow": True, "disk": "sdb"},
        ],
        "raids": [
            {
                "name": "/boot",
                "device": "md0",
                "level": "1",
                "filesystem": "ext4",
                "members": ["raid.11", "raid.12"],
            },
            {
                "name": "pv.01",
                "device": "md1",
                "level": "1",
                "members": ["raid.21", "raid.22"],
                "luks": {"passphrase": "secret:disk"},
            },
        ],
        "groups": [{"name": "vg0", "members": ["pv.01"]}],
        "volumes": [
            {"mount": "/", "group": "vg0", "name": "root", "size": 4000, "filesystem": "ext4", "grow": True},
            {"mount": "swap", "group": "vg0", "name": "swap", "size": 512},
        ],
    },
    "bootloader": {"location": "mbr", "append": "console=ttyS0"},
    "packages": {"groups": ["core"], "names": ["vim-enhanced"], "without": ["dracut-config-rescue"]},
    "firewall": {"enabled": True, "ssh": True, "ports": ["8080:tcp"]},
    "selinux": "enforcing",
    "services": {"enabled": ["sshd"], "disabled": ["cups"]},
    "scripts": [
        {"when": "pre", "text": "echo before\n"},
        {"when": "post", "text": "echo hi\n", "log": "/root/post.log", "stop_on_error": True},
        {"when": "first-boot", "text": "echo first\n"},
    ],
}

# What every target can say: no bond, no LUKS, no services.
PLAIN = {
    "source": {"url": "http://10.77.0.1/tree"},
    "language": "en_US",
    "network": [
        {
            "device": "eth0",
            "method": "static",
            "address": "10.0.0.2",
            "netmask": "255.255.255.0",
            "gateway": "10.0.0.1",
            "hostname": "n01",
        }
    ],
    "root": {"locked": True, "keys": ["ssh-rsa AAAA root@admin"]},
    "users": [{"name": "ada", "password": HASH, "full_name": "Ada L", "keys": ["ssh-rsa BBBB"]}],
    "disks": {
        "zero_mbr": True,
        "clear": {"what": "all", "init_label": True},
        "partitions": [
            {"name": "/boot", "size": 100, "filesystem": "ext3", "primary": True},
            {"name": "swap", "size": 512},
            {"name": "/", "size": 1100, "grow": True, "filesystem": "ext3"},
        ],
    },
    "bootloader": {"location": "mbr"},
    "firewall": {"enabled": False},
    "packages": {"groups": ["Base"]},
    "scripts": [{"when": "post", "text": "echo hi\n"}, {"when": "first-boot", "text": "echo first\n"}],
}


def profile(**changes):
    return profile_from({**TODAY, **changes})


def plain(**changes):
    return profile_from({**PLAIN, **changes})


def hasher(text):
    return HASH
