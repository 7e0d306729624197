"""The directives about disks and networks: part, raid, volgroup, logvol, autopart, clearpart, network."""

from __future__ import annotations

from pxe.answers.kickstart.age import Age
from pxe.answers.kickstart.form import Form, Kind, Option
from pxe.answers.network import Interface
from pxe.answers.storage import Automatic, Clear, Partition, Raid, Volume, VolumeGroup

_FLAG, _NUMBER, _LIST, _YES_NO = Kind.FLAG, Kind.NUMBER, Kind.LIST, Kind.YES_NO
_F6, _F9, _F16, _F19 = Age("F6 R5"), Age("F9 R5"), Age("F16 R6"), Age("F19 R6")
_F21, _F22, _F39 = Age("F21 R7"), Age("F22 R7"), Age("F39 R9")
_OLD_SIZE = Age("", "F14 R7", "give a size")

NETWORK = Form("network", Interface, (
    Option("--bootproto", "method"),
    Option("--device", "device"),
    Option("--ip", "address"),
    Option("--netmask", "netmask"),
    Option("--gateway", "gateway"),
    Option("--nameserver", "name_servers", _LIST),
    Option("--hostname", "hostname"),
    Option("--ipv6", "ipv6", age=Age("F8 R6")),
    Option("--ipv6gateway", "ipv6_gateway", age=Age("F19 R7")),
    Option("--noipv4", "no_ipv4", _FLAG, _F6),
    Option("--noipv6", "no_ipv6", _FLAG, _F6),
    Option("--onboot", "onboot", _YES_NO, Age("F3 R3")),
    Option("--activate", "activate", _FLAG, _F16),
    Option("--no-activate", "no_activate", _FLAG, Age("F25 R7")),
    Option("--nodefroute", "no_default_route", _FLAG, _F16),
    Option("--nodns", "no_dns", _FLAG, Age("F3 R3")),
    Option("--mtu", "mtu", _NUMBER, Age("F3 R3")),
    Option("--dhcpclass", "dhcp_class", age=Age("F3 R3")),
    Option("--ethtool", "ethtool", age=Age("F3 R3")),
    Option("--essid", "essid", age=Age("F3 R3")),
    Option("--interfacename", "name", age=_F21),
    Option("--bondslaves", "bond_slaves", _LIST, _F19),
    Option("--bondopts", "bond_options", age=_F19),
    Option("--bridgeslaves", "bridge_slaves", _LIST, _F22),
    Option("--bridgeopts", "bridge_options", age=_F22),
    Option("--teamslaves", "team_slaves", age=Age("F20 R7")),
    Option("--teamconfig", "team_config", age=Age("F20 R7")),
    Option("--vlanid", "vlan", _NUMBER, _F19),
    Option("--bindto", "bind_to", age=Age("F27 R7")),
    Option("--ipv4-dns-search", "dns_search", _LIST, _F39),
    Option("--notksdevice", "not_installer_device", _FLAG, Age("F4 R4")),
))  # fmt: skip

_FORMATTED = (
    Option("--fstype", "filesystem", also=("--type",)),
    Option("--label", "label", age=Age("F4 R5")),
    Option("--fsoptions", "mount_options", age=Age("F4 R5")),
    Option("--mkfsoptions", "format_options", age=Age("F23 R7")),
    Option("--fsprofile", "profile", age=Age("F9 R6")),
    Option("--noformat", "keep", _FLAG),
    Option("--encrypted", "luks", Kind.PRESENCE, _F9),
    Option("--passphrase", "luks.passphrase", age=_F9),
    Option("--luks-version", "luks.version", age=Age("F29 R8")),
    Option("--cipher", "luks.cipher", age=Age("F18 R6")),
)
_INODES = Option("--bytes-per-inode", "bytes_per_inode", _NUMBER, Age("", "F14 R6", "use --fsprofile"))
_SIZES = (
    Option("--size", "size", _NUMBER),
    Option("--grow", "grow", _FLAG),
    Option("--maxsize", "max_size", _NUMBER),
    Option("--recommended", "recommended", _FLAG),
    Option("--resize", "resize", _FLAG, Age("F17 R7")),
)

PART = Form("part", Partition, (
    *_SIZES,
    Option("--asprimary", "primary", _FLAG),
    Option("--ondisk", "disk", also=("--ondrive",)),
    Option("--onpart", "on_partition", also=("--usepart",)),
    Option("--onbiosdisk", "bios_disk", age=Age("F3 R3")),
    Option("--start", "start", _NUMBER, _OLD_SIZE),
    Option("--end", "end", _NUMBER, _OLD_SIZE),
    Option("--badblocks", "bad_blocks", _FLAG, Age("", "F3 R3", "check the disk before")),
    Option("--active", "active", _FLAG, Age("", "F34 R9", "the installer sets it where needed")),
    *_FORMATTED,
    _INODES,
), ("name",))  # fmt: skip

RAID = Form("raid", Raid, (
    Option("--device", "device"),
    Option("--level", "level"),
    Option("--spares", "spares", _NUMBER),
    Option("--useexisting", "existing", _FLAG, Age("F3 R3")),
    Option("--chunksize", "chunk", _NUMBER, Age("F25 R7")),
    *_FORMATTED,
    _INODES,
), ("name", "members"), many=True)  # fmt: skip

VOLGROUP = Form("volgroup", VolumeGroup, (
    Option("--pesize", "extent", _NUMBER),
    Option("--reserved-space", "reserved", _NUMBER, _F16),
    Option("--reserved-percent", "reserved_percent", _NUMBER, _F16),
    Option("--useexisting", "existing", _FLAG),
    Option("--noformat", "keep", _FLAG),
), ("name", "members"), many=True, age=Age("F3 R3", "", "use partitions"))  # fmt: skip

LOGVOL = Form("logvol", Volume, (
    Option("--vgname", "group"),
    Option("--name", "name"),
    *_SIZES,
    Option("--percent", "percent", _NUMBER),
    Option("--useexisting", "existing", _FLAG),
    Option("--thin", "thin", _FLAG, Age("F20 R6")),
    Option("--thinpool", "thin_pool", _FLAG, Age("F20 R6")),
    Option("--poolname", "pool", age=Age("F20 R6")),
    *_FORMATTED,
    _INODES,
), ("mount",), age=Age("F3 R3", "", "use partitions"))  # fmt: skip

AUTOPART = Form("autopart", Automatic, (
    Option("--type", "type", age=Age("F17 R7")),
    Option("--fstype", "filesystem", age=_F21),
    Option("--nolvm", "no_lvm", _FLAG, Age("F16 R7")),
    Option("--nohome", "no_home", _FLAG, Age("F26 R7")),
    Option("--noboot", "no_boot", _FLAG, Age("F26 R8")),
    Option("--noswap", "no_swap", _FLAG, Age("F26 R8")),
    Option("--encrypted", "luks", Kind.PRESENCE, _F9),
    Option("--passphrase", "luks.passphrase", age=_F9),
    Option("--luks-version", "luks.version", age=Age("F29 R8")),
    Option("--cipher", "luks.cipher", age=Age("F18 R6")),
), age=Age("F3 R3", "", "give partitions"))  # fmt: skip

CLEARPART = Form("clearpart", Clear, (
    Option("--all", "what", _FLAG, value="all"),
    Option("--linux", "what", _FLAG, value="linux"),
    Option("--none", "what", _FLAG, Age("F3 R3"), value="none"),
    Option("--drives", "drives", _LIST),
    Option("--list", "partitions", _LIST, Age("F17 R7")),
    Option("--initlabel", "init_label", _FLAG),
    Option("--disklabel", "label", age=_F21),
))  # fmt: skip
