"""The elements of an AutoYaST file, by section. An empty table is one value; None is not looked into."""

from __future__ import annotations

from typing import Optional

Table = dict[str, Optional["Table"]]


def _values(names: str) -> Table:
    return {name: {} for name in names.split()}


def _many(*names: str) -> Table:
    """A list of plain values."""
    return {name: {} for name in (*names, "listentry")}


def _rows(name: str, row: Table) -> Table:
    return {name: row, "listentry": row}


_MODE = _values(
    "confirm halt second_stage final_halt final_reboot forceboot max_systemd_wait"
    " activate_systemd_default_target confirm_base_product_license self_update"
    " self_update_url ntp_sync_time_before_installation"
)
_SCRIPT: Table = {
    **_values(
        "filename interpreter location source debug feedback feedback_type rerun notification"
        " chrooted network_needed"
    ),
    "param-list": _many("param"),
}
_RAID: Table = {
    **_values("persistent_superblock chunk_size parity_algorithm raid_type raid_name"),
    "device_order": _many("device"),
}
_PARTITION: Table = {
    **_values(
        "create crypt crypt_fs crypt_method crypt_key crypt_pbkdf crypt_label crypt_cipher"
        " crypt_key_size filesystem format fstopt label uuid loop_fs lv_name lvm_group mount"
        " mountby filesystem_id partition_id partition_nr partition_type resize raid_name"
        " raid_type size stripes stripesize pool used_pool subvolumes_prefix create_subvolumes"
        " bcache_backing_for btrfs_name mkfs_options quotas"
    ),
    "fs_options": None,
    "raid_options": _RAID,
    "subvolumes": None,
    "region": None,
    "bcache_caching_for": None,
    "device_order": _many("device"),
}
_DRIVE: Table = {
    **_values(
        "device initialize is_lvm_vg lvm2 pesize type use imsmdriver disklabel"
        " enable_snapshots keep_unknown_lv"
    ),
    "skip_list": None,
    "partitions": _rows("partition", _PARTITION),
    "raid_options": _RAID,
    "bcache_options": None,
    "btrfs_options": None,
}
_INTERFACE: Table = {
    **_values(
        "device name bootproto startmode ifplugd_priority usercontrol dhclient_set_hostname"
        " ipaddr prefixlen remote_ipaddr netmask broadcast network mtu ethtool_options"
        " wireless bonding_master bonding_module_opts bridge bridge_ports bridge_stp"
        " bridge_forwarddelay etherdevice vlan_id dhclient_set_down_link"
        " dhclient_set_default_route firewall zone lladdr description ipoib_mode"
        " tunnel_set_owner tunnel_set_group"
    ),
    **{f"bonding_slave{number}": {} for number in range(10)},
    "aliases": None,
}
_NETWORKING: Table = {
    **_values(
        "start_immediately keep_install_network ipv6 managed strict_IP_check_timeout"
        " setup_before_proposal backend"
    ),
    "interfaces": _rows("interface", _INTERFACE),
    "modules": None,
    "dhcp_options": None,
    "s390-devices": None,
    "routing": {
        **_values("ip_forward ipv4_forward ipv6_forward"),
        "routes": _rows("route", _values("destination netmask device gateway extrapara name")),
    },
    "dns": {
        **_values("dhcp_hostname write_hostname resolv_conf_policy hostname domain"),
        "nameservers": _many("nameserver"),
        "searchlist": _many("search"),
    },
    "net-udev": _rows("rule", _values("rule value name")),
}
_USER: Table = {
    **_values(
        "username user_password encrypted fullname uid gid home home_size"
        " home_btrfs_subvolume shell forename surname grouplist type disabled"
    ),
    "password_settings": None,
    "authorized_keys": _many("sshkey"),
}
SECTIONS: Table = {
    "general": {
        "mode": _MODE,
        "mouse": None,
        "ask-list": None,
        "semi-automatic": None,
        "proposals": None,
        "wait": None,
        "signature-handling": _values(
            "accept_unsigned_file accept_file_without_checksum accept_verification_failed"
            " accept_unknown_gpg_key import_gpg_key accept_non_trusted_gpg_key"
        ),
        "storage": {
            **_values("partition_alignment start_multipath btrfs_set_default_subvolume_name"),
            "proposal": _values(
                "lvm encryption_password encryption_method encryption_pbkdf resize_windows"
                " windows_delete_mode linux_delete_mode other_delete_mode lvm_vg_strategy"
                " multidisk_first"
            ),
        },
        "cio_ignore": {},
        "minimal-configuration": {},
        "self_update": {},
        "self_update_url": {},
    },
    "partitioning": _rows("drive", _DRIVE),
    "language": _values("language languages"),
    "keyboard": _values("keymap capslock delay discaps numlock rate scrlock tty") | {"keyboard_values": None},
    "timezone": _values("hwclock timezone"),
    "networking": _NETWORKING,
    "software": {
        **_values("kernel do_online_update install_recommended instsource"),
        "packages": _many("package"),
        "post-packages": _many("package"),
        "remove-packages": _many("package"),
        "patterns": _many("pattern"),
        "post-patterns": _many("pattern"),
        "remove-patterns": _many("pattern"),
        "products": _many("product"),
        "remove-products": _many("product"),
        "image": None,
    },
    "users": _rows("user", _USER),
    "groups": _rows("group", _values("groupname gid group_password userlist encrypted")),
    "user_defaults": None,
    "login_settings": None,
    "services-manager": {
        "default_target": {},
        "services": {"enable": _many("service"), "disable": _many("service"), "on_demand": _many("service")},
    },
    "scripts": {
        f"{kind}-scripts": _rows("script", _SCRIPT)
        for kind in ("pre", "postpartitioning", "chroot", "post", "init")
    },
    "bootloader": {
        "global": None,
        "loader_type": {},
        "device_map": None,
        "sections": None,
        "initrd_modules": None,
    },
    "firewall": {
        **_values("enable_firewall start_firewall default_zone log_denied_packets"),
        "zones": _rows(
            "zone",
            {
                **_values("name short description target masquerade"),
                "services": _many("service"),
                "ports": _many("port"),
                "protocols": _many("protocol"),
                "interfaces": _many("interface"),
            },
        ),
    },
    "ntp-client": {
        **_values("ntp_policy ntp_sync start_at_boot"),
        "ntp_servers": _rows("ntp_server", _values("address iburst offline")),
        "peers": None,
        "restricts": None,
    },
    "proxy": _values("enabled http_proxy https_proxy ftp_proxy no_proxy proxy_user proxy_password"),
    "add-on": {
        "add_on_products": _rows(
            "listentry",
            {
                **_values("media_url product product_dir name alias priority ask_on_error confirm_license"),
                "signature-handling": None,
            },
        ),
        "add_on_others": None,
    },
    "report": None,
    "suse_register": None,
    "files": None,
    "runlevel": None,
    "ssh_import": None,
    "kdump": None,
    "security": None,
    "host": None,
    "deploy_image": None,
    "configuration_management": None,
    "upgrade": None,
    "nfs": None,
    "nfs_server": None,
    "iscsi-client": None,
    "sysconfig": None,
    "classes": None,
    "backup": None,
}
