"""The directives about the installed system and its sources: accounts, boot loader, firewall."""

from __future__ import annotations

from pxe.answers.kickstart.age import Age
from pxe.answers.kickstart.form import Form, Kind, Option
from pxe.answers.profile import Bootloader, Firewall, Repository, Services, Source, User, UserGroup

_FLAG, _NUMBER, _LIST = Kind.FLAG, Kind.NUMBER, Kind.LIST
_LILO_GONE = Age("", "F4 R5", "GRUB is the only boot loader")

USER = Form("user", User, (
    Option("--name", "name"),
    Option("--password", "password"),
    Option("--iscrypted", "password", Kind.MARK),
    Option("--plaintext", "password", Kind.MARK, when=lambda text: False),
    Option("--gecos", "full_name", age=Age("F12 R6")),
    Option("--groups", "groups", _LIST),
    Option("--uid", "uid", _NUMBER),
    Option("--gid", "gid", _NUMBER, Age("F19 R7")),
    Option("--homedir", "home"),
    Option("--shell", "shell"),
    Option("--lock", "locked", _FLAG, Age("F8 R6")),
), age=Age("F6 R5", "", "make the account in a %post script"), apart=("keys",))  # fmt: skip

GROUP = Form("group", UserGroup, (
    Option("--name", "name"),
    Option("--gid", "gid", _NUMBER),
), age=Age("F12 R6", "", "make the group in a %post script"))  # fmt: skip

BOOTLOADER = Form("bootloader", Bootloader, (
    Option("--location", "location"),
    Option("--append", "append"),
    Option("--md5pass", "password", when=lambda text: text.startswith("$1$")),
    Option("--password", "password", age=Age("F15 R6"), when=lambda text: not text.startswith("$1$")),
    Option("--iscrypted", "password", Kind.MARK, Age("F15 R6"), when=lambda text: not text.startswith("$1$")),
    Option("--timeout", "timeout", _NUMBER, Age("F8 R6")),
    Option("--driveorder", "drive_order", _LIST, Age("F3 R3")),
    Option("--boot-drive", "boot_drive", age=Age("F17 R7")),
    Option("--disabled", "disabled", _FLAG, Age("F21 R7")),
    Option("--leavebootorder", "leave_boot_order", _FLAG, Age("F18 R7")),
    Option("--nombr", "no_mbr", _FLAG, Age("F21 R7")),
    Option("--upgrade", "upgrade", _FLAG, Age("", "F34 R9", "install afresh")),
    Option("--useLilo", "lilo", _FLAG, _LILO_GONE),
    Option("--linear", "linear", _FLAG, _LILO_GONE),
    Option("--nolinear", "no_linear", _FLAG, _LILO_GONE),
    Option("--lba32", "lba32", _FLAG, Age("", "F14 R7", "every firmware has it")),
))  # fmt: skip

LILO = Form("lilo", Bootloader, BOOTLOADER.options, age=Age("", "F4 R5", "use bootloader"))

FIREWALL = Form("firewall", Firewall, (
    Option("--enabled", "enabled", _FLAG, Age("F3 R3", "", "set a level: high or medium"), ("--enable",)),
    Option("--disabled", "enabled", _FLAG, also=("--disable",), value=False),
    Option("--high", "level", _FLAG, Age("", "F9 R6", "use enabled"), value="high"),
    Option("--medium", "level", _FLAG, Age("", "F9 R6", "use enabled"), value="medium"),
    Option("--trust", "trust", Kind.EACH),
    Option("--dhcp", "dhcp", _FLAG, Age("", "F3 R3", "replies of DHCP servers pass by themselves")),
    Option("--ssh", "ssh", _FLAG),
    Option("--telnet", "telnet", _FLAG, Age("", "F14 R7", 'name it in services = ["telnet"]')),
    Option("--smtp", "smtp", _FLAG),
    Option("--http", "http", _FLAG),
    Option("--ftp", "ftp", _FLAG),
    Option("--port", "ports", _LIST),
    Option("--service", "services", _LIST, Age("F10 R6")),
    Option("--remove-service", "without", _LIST, Age("F20 R7")),
    Option("--use-system-defaults", "system_defaults", _FLAG, Age("F28 R8")),
))  # fmt: skip

SERVICES = Form("services", Services, (
    Option("--disabled", "disabled", _LIST),
    Option("--enabled", "enabled", _LIST),
), age=Age("F6 R5", "", "use chkconfig in a %post script"))  # fmt: skip

_MIRRORS = (
    Option("--mirrorlist", "mirror_list", age=Age("F18 R7")),
    Option("--metalink", "metalink", age=Age("F27 R8")),
    Option("--proxy", "proxy", age=Age("F13 R6")),
    Option("--noverifyssl", "no_verify", _FLAG, Age("F14 R6")),
)
URL = Form("url", Source, (Option("--url", "url"), *_MIRRORS))
NFS = Form("nfs", Source, (
    Option("--server", "nfs_server"),
    Option("--dir", "directory"),
    Option("--opts", "nfs_options", age=Age("F6 R5")),
))  # fmt: skip
HARDDRIVE = Form("harddrive", Source, (Option("--partition", "disk"), Option("--dir", "directory")))
CDROM = Form("cdrom", Source, apart=("cdrom",))

REPO = Form("repo", Repository, (
    Option("--name", "name"),
    Option("--baseurl", "url"),
    Option("--mirrorlist", "mirror_list"),
    Option("--metalink", "metalink", age=Age("F27 R8")),
    Option("--cost", "cost", _NUMBER, Age("F8 R6")),
    Option("--includepkgs", "include", _LIST, Age("F8 R6")),
    Option("--excludepkgs", "exclude", _LIST, Age("F8 R6")),
    Option("--proxy", "proxy", age=Age("F13 R6")),
    Option("--noverifyssl", "no_verify", _FLAG, Age("F14 R6")),
    Option("--install", "install", _FLAG, Age("F21 R7")),
), age=Age("F6 R5", "", "put the packages beside the tree"), apart=("key",))  # fmt: skip
